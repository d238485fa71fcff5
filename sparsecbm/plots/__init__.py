"""Every drawing: functions from plain numbers, as `metrics/*.json` holds them, to figures in one style.

Each function returns a `matplotlib.figure.Figure`, which a notebook shows, and saves it where a target is given:

    plot_swap(read_json("metrics/prune.json")["chosen"]["swap"])
"""
