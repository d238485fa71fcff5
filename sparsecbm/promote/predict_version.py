"""A script: load a registered model as any user would, and write its predictions.

    python -P predict_version.py FOLDER TEXTS.json OUT.json TIMED TURNS

The script imports nothing of this project, so the code that the version carries runs. TIMED texts are predicted one by
one to measure the latency. Several versions may run at once and share the lock file TURNS: they are timed in turn, text
by text, while no other version predicts. Other load on the machine then slows all of them alike.
"""

import fcntl
import json
import statistics
import sys
import time


def main(folder: str, texts: str, out: str, timed: int, turns: str) -> None:
    """Write label and concept probabilities of each text, and the median milliseconds for a single text."""
    with open(turns, "a") as turn:
        fcntl.flock(turn, fcntl.LOCK_SH)
        import pandas as pd
        from mlflow.pyfunc import load_model

        model = load_model(folder)
        with open(texts, encoding="utf-8") as file:
            frame = pd.DataFrame({"text": json.load(file)})
        rows = model.predict(frame).to_dict("records")
        fcntl.flock(turn, fcntl.LOCK_UN)
        milliseconds = []
        for number in range(timed):
            row = frame.iloc[[number % len(frame)]]
            fcntl.flock(turn, fcntl.LOCK_EX)  # waits until no other version predicts
            begun = time.perf_counter()
            model.predict(row)
            milliseconds.append(1000 * (time.perf_counter() - begun))
            fcntl.flock(turn, fcntl.LOCK_UN)
            time.sleep(0.01)  # lets another version take the next turn
    names = list(rows[0]["concepts"])
    predictions = {
        "label": _variable([row["probabilities"] for row in rows]),
        "concepts": {name: _variable([row["concepts"][name]["probabilities"] for row in rows]) for name in names},
        "latency_ms": statistics.median(milliseconds) if milliseconds else None,
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(predictions, file)


def _variable(probabilities: list[dict]) -> dict:
    states = list(probabilities[0])
    return {"states": states, "probabilities": [[row[state] for state in states] for row in probabilities]}


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5])
