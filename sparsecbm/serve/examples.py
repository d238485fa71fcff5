"""Examples of each form in `bodies`, for OpenAPI. Tests send the requests, and check the form of the answers."""

from typing import Any

TEXT = "The ramen was superb, though you could hardly hear yourself think."
SHORT_TEXT = "The ramen was superb."
VERSION = {"name": "sparsecbm", "version": "3", "sha256": "5f0c" * 16}
FOOD = {"state": "Positive", "confidence": 0.98, "probabilities": {"Positive": 0.98, "Negative": 0.02}}
BAD_FOOD = {"state": "Negative", "confidence": 1.0, "probabilities": {"Positive": 0.0, "Negative": 1.0}}

EDITED = {"edits": {"food": "Negative"}, "explain": "short"}
CORRECTION = {
    "text": TEXT,
    "concepts": {"food": "Positive"},
    "author": "Ann",
    "reason": "superb is praise",
    "version": "3",
}

PREDICT_ANSWER = {
    "model": VERSION,
    "predictions": [
        {"label": "4", "confidence": 0.7, "probabilities": {"3": 0.3, "4": 0.7}, "concepts": {"food": FOOD}}
    ],
}
EXPLAIN_ANSWER = {
    "model": VERSION,
    "explanations": [
        {
            "text": SHORT_TEXT,
            "truncated": False,
            "id": None,
            "split": None,
            "words": [
                {"word": "The", "start": 0, "end": 3},
                {"word": "ramen", "start": 4, "end": 9},
                {"word": "was", "start": 10, "end": 13},
                {"word": "superb", "start": 14, "end": 20},
                {"word": ".", "start": 20, "end": 21},
            ],
            "special": ["[CLS]", "[SEP]"],
            "label": {
                "name": "stars",
                "state": "4",
                "probabilities": {"3": 0.3, "4": 0.7},
                "gold": None,
                "start": -0.2,
                "end": 0.42,
                "hard": None,
                "words": {
                    "scores": [0.0, 0.1, 0.0, 0.5, 0.0],
                    "special": [0.0, 0.0],
                    "change": 0.6,
                    "gap": 0.0,
                    "steps": 16,
                },
            },
            "concepts": {
                "food": {
                    "state": "Positive",
                    "probabilities": {"Positive": 0.98, "Negative": 0.02},
                    "gold": None,
                    "explained": "Positive",
                    "contributions": {"3": -0.62, "4": 0.62},
                    "contribution": 0.62,
                    "hard_contribution": None,
                    "words": {
                        "scores": [0.1, 0.7, -0.1, 3.1, 0.0],
                        "special": [0.0, 0.0],
                        "change": 3.8,
                        "gap": 0.0,
                        "steps": 16,
                    },
                    "subnetwork": {
                        "density": 0.25,
                        "largest": {
                            "block": [
                                {"block": 5, "head": None, "effect": 2.4, "read": "Negative", "probability": 0.4}
                            ],
                            "head": [{"block": 5, "head": 3, "effect": 1.2, "read": "Positive", "probability": 0.8}],
                            "ffn": [{"block": 4, "head": None, "effect": 0.9, "read": "Positive", "probability": 0.9}],
                        },
                        "note": None,
                        "sufficient": None,
                    },
                }
            },
            "origin": {
                "model": "9ab1" * 16,
                "folder": "5f0c" * 16,
                "data": None,
                "masked": True,
                "method": "integrated_gradients",
                "parameters": {
                    "baseline": "pad",
                    "steps": 16,
                    "tolerance": 0.05,
                    "max_steps": 512,
                    "seed": 0,
                    "batch_tokens": 768,
                },
            },
        }
    ],
}
INTERVENE_ANSWER = {
    "model": VERSION,
    "edits": [
        {
            "text": SHORT_TEXT,
            "set_to": {"food": {"Positive": 0.0, "Negative": 1.0}},
            "head": "soft",
            "before": {
                "text": SHORT_TEXT,
                "label": "4",
                "confidence": 0.7,
                "probabilities": {"3": 0.3, "4": 0.7},
                "concepts": {"food": FOOD},
            },
            "after": {
                "text": SHORT_TEXT,
                "label": "3",
                "confidence": 0.9,
                "probabilities": {"3": 0.9, "4": 0.1},
                "concepts": {"food": BAD_FOOD},
            },
            "changed": ["food", "label"],
        }
    ],
}
EXAMPLES: dict[str, list[dict[str, Any]]] = {  # class in `bodies` -> examples
    "PredictRequest": [{"texts": [TEXT]}, {"texts": [TEXT], "options": EDITED}],
    "PredictAnswer": [PREDICT_ANSWER],
    "ExplainRequest": [{"texts": [TEXT], "concepts": ["food"]}],
    "ExplainAnswer": [EXPLAIN_ANSWER],
    "InterveneRequest": [{"texts": [TEXT], "set": {"food": "Negative"}}],
    "InterveneAnswer": [INTERVENE_ANSWER],
    "CorrectionRequest": [CORRECTION],
    "CorrectionAnswer": [{"id": "1d0f" * 8, "at": "2026-12-01T09:30:00+00:00", "version": "3"}],
    "Status": [
        {"status": "ok"},
        {"status": "ready", "model": VERSION},
        {"status": "stalled", "model": VERSION},
    ],
    "Fault": [{"error": "unknown concept 'fod'. Did you mean 'food'?", "request_id": "0f3b"}],
}
