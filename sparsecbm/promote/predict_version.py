"""Run by itself: load a registered model as anybody would and write what it reads.

    python -P predict_version.py FOLDER TEXTS.json OUT.json TIMED TURNS

It imports nothing of this project, so that the code that the version carries is what runs: a process that had loaded
another version's code would go on with it. TIMED texts are read one by one for the latency. Several versions may read
at once; TURNS is a file that they share, so that each is timed while no other reads, and text by text in turn with the
others: what else the machine does meanwhile slows all of them alike.
"""

import fcntl
import json
import statistics
import sys
import time


def main(folder: str, texts: str, out: str, timed: int, turns: str) -> None:
    """Write label and concept probabilities of each text, and milliseconds for a single text (median)."""
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
            one = frame.iloc[[number % len(frame)]]
            fcntl.flock(turn, fcntl.LOCK_EX)  # once no other reads, and none is timed
            begun = time.perf_counter()
            model.predict(one)
            milliseconds.append(1000 * (time.perf_counter() - begun))
            fcntl.flock(turn, fcntl.LOCK_UN)
            time.sleep(0.01)  # or the next turn would be this one's again
    names = list(rows[0]["concepts"])
    read = {
        "label": _variable([row["probabilities"] for row in rows]),
        "concepts": {name: _variable([row["concepts"][name]["probabilities"] for row in rows]) for name in names},
        "latency_ms": statistics.median(milliseconds) if milliseconds else None,
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(read, file)


def _variable(probabilities: list[dict]) -> dict:
    states = list(probabilities[0])
    return {"states": states, "probabilities": [[row[state] for state in states] for row in probabilities]}


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5])
