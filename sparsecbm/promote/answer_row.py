"""The answer to one text, as MLflow's server and `sparsecbm serve` give it."""

from sparsecbm.model.prediction import Prediction


def answer_row(prediction: Prediction, explanation: dict | None, top_k: int | None) -> dict:
    """The plain form of one answer: without the text, which the client has; `top_k` as in `Options`."""
    row = prediction.to_dict()
    del row["text"]
    if top_k is not None:
        ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
        row["probabilities"] = dict(ranked[:top_k])
    if explanation is not None:
        row["explanation"] = explanation
    return row
