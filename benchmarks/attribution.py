"""Integrated gradients of all concepts, compared with captum for one text and one concept at a time.

    python benchmarks/attribution.py [--model models/sparse] [--texts 1000] [--steps 16] [--adaptive 0] [--output FILE]

`fixed`: every text gets the same steps, so both compute the same attributions. captum batches its steps by its own
`internal_batch_size`.
`adaptive`: both reach the same completeness gap on the first `--adaptive` texts. captum doubles its steps until the gap
is small enough. This project halves the rough parts of the path.

Each applies the model's masks in its own way, and each computes the gap. They take turns every few texts, so that a
machine whose speed drifts affects both equally. CPU time excludes time that the machine spent on other programs.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import captum
import numpy as np
import torch
from captum.attr import IntegratedGradients

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_parquet, write_json
from sparsecbm.explain.attribution import Attribution, attribute
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.words import tokenize_words

RESULT = Path(__file__).parent / "results" / "attribution.json"
TURN = 10  # texts between two turns
TOLERANCE, MAX_STEPS = 0.05, 512


def by_captum(
    model: SparseCBM, texts: list[str], states: list[dict[str, int]], steps: int, internal: int, tolerance: float
) -> list[dict[str, tuple[np.ndarray, float, int]]]:
    """Return scores of words, completeness gap and number of gradients, for each text by concept.

    Args:
        states: for each text, concept -> index of the state to explain
        steps: of the first attempt; each further attempt doubles them while the gap is above the tolerance
    """
    embed, pad = model.backbone.get_input_embeddings(), model.tokenizer.pad_token_id
    results = []
    for text, chosen in zip(tokenize_words(model.tokenizer, texts, model.settings.max_length), states, strict=True):
        ids = torch.tensor([text.ids])
        without = torch.where(torch.from_numpy(text.word_indices < 0), ids, pad)
        with torch.no_grad():
            end, start = embed(ids), embed(without)
        results.append({})
        for name, state in chosen.items():

            def value(embeddings: torch.Tensor, name: str = name, state: int = state) -> torch.Tensor:
                rows = {name: torch.arange(len(embeddings))}
                pooled = model.represent(embeddings, torch.ones(embeddings.shape[:2], dtype=torch.long), rows)
                logits = model.concept_heads(pooled)[name]
                return logits[:, state] - logits.mean(-1)

            with torch.no_grad():
                change = float(value(end) - value(start))
            number, gradients_taken = steps, 0
            while True:
                scores, gap = IntegratedGradients(value).attribute(
                    end, start, n_steps=number, internal_batch_size=internal, return_convergence_delta=True
                )
                gradients_taken += number
                if abs(gap.item()) <= tolerance * max(1, abs(change)) or gradients_taken >= MAX_STEPS:
                    break
                number *= 2
            results[-1][name] = (text.merged(scores.sum(-1)[0].numpy())[0], gap.item(), gradients_taken)
    return results


def by_us(model: SparseCBM, texts: list[str], options: AttributionOptions) -> list[dict[str, Attribution]]:
    """Scores of words by this project, for the same texts and states."""
    return attribute(model, texts, options=options)


def timed(run: Callable[[], list], spent: list[tuple[float, float]]) -> list:
    """Run a function and record its clock and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result


def compare(model: SparseCBM, texts: list[str], steps: int, internal: int, tolerance: float) -> dict:
    """Run both on the same texts and compare their scores where both reach the tolerance."""
    options = AttributionOptions(steps=steps, tolerance=tolerance, max_steps=MAX_STEPS if tolerance < np.inf else steps)
    names = model.concept_set.names
    ours, theirs = [], []
    spent: dict[str, list[tuple[float, float]]] = {"ours": [], "captum": []}
    for start in range(0, len(texts), TURN):
        part = texts[start : start + TURN]
        logits = model.logits(part).concepts
        states = [{name: int(logits[name][i].argmax()) for name in names} for i in range(len(part))]
        turns = [
            lambda part=part: ours.extend(timed(lambda: by_us(model, part, options), spent["ours"])),
            lambda part=part, states=states: theirs.extend(
                timed(lambda: by_captum(model, part, states, steps, internal, tolerance), spent["captum"])
            ),
        ]
        for turn in turns[:: 1 if (start // TURN) % 2 else -1]:
            turn()
    pairs = [
        (ours_one[name], captum_one[name]) for ours_one, captum_one in zip(ours, theirs, strict=True) for name in names
    ]
    differences, reached = [], {"ours": [], "captum": []}
    for ours_one, (scores, gap, _) in pairs:
        allowed = tolerance * max(1, abs(ours_one.change))
        reached["ours"].append(abs(ours_one.gap) <= allowed)
        reached["captum"].append(abs(gap) <= allowed)
        if reached["ours"][-1] and reached["captum"][-1]:
            differences.append(float(np.abs(np.array(ours_one.scores) - scores).max(initial=0)))
    steps_taken = {
        "ours": [ours_one.steps for ours_one, _ in pairs],
        "captum": [captum_one[2] for _, captum_one in pairs],
    }
    gaps = {
        "ours": [abs(ours_one.gap) for ours_one, _ in pairs],
        "captum": [abs(captum_one[1]) for _, captum_one in pairs],
    }
    seconds = {who: np.array(turns).sum(0) for who, turns in spent.items()}
    return {
        "texts": len(texts),
        "clock_ratio": round(float(seconds["captum"][0] / seconds["ours"][0]), 2),
        "cpu_ratio": round(float(seconds["captum"][1] / seconds["ours"][1]), 2),
        "median_clock_ratio_of_turns": round(
            statistics.median(c[0] / o[0] for o, c in zip(spent["ours"], spent["captum"], strict=True)), 2
        ),
        "scores_compared": len(differences),
        "largest_difference": max(differences, default=0.0),
        **{
            who: {
                "clock_s": round(float(seconds[who][0]), 1),
                "cpu_s": round(float(seconds[who][1]), 1),
                "mean_steps": round(statistics.mean(steps_taken[who]), 1),
                "median_gap": round(statistics.median(gaps[who]), 5),
                "reached_tolerance": round(statistics.mean(reached[who]), 4),
            }
            for who in ("ours", "captum")
        },
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).parents[1]
    parser.add_argument("--model", type=Path, default=root / "models" / "sparse")
    parser.add_argument("--data", type=Path, default=root / "data" / "annotated" / "test.parquet")
    parser.add_argument("--texts", type=int, default=1000, help="rows are repeated from the start if there are fewer")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--internal", type=int, default=None, help="captum's internal_batch_size; all steps by default")
    parser.add_argument("--adaptive", type=int, default=0, help="texts that are run to one completeness gap as well")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = SparseCBM.from_pretrained(arguments.model).eval()
    rows = list(read_parquet(arguments.data)["text"])
    texts = [rows[i % len(rows)] for i in range(arguments.texts)]
    internal = arguments.internal or arguments.steps
    compare(model, texts[:2], arguments.steps, internal, np.inf)  # warms up
    result = {
        "model": arguments.model.name,
        "masked": model.masked,
        "concepts": len(model.concept_set),
        "steps": arguments.steps,
        "internal_batch_size": internal,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "captum": captum.__version__,
        "fixed": compare(model, texts, arguments.steps, internal, np.inf),
    }
    if arguments.adaptive:
        result["adaptive"] = {
            "tolerance": TOLERANCE,
            "max_steps": MAX_STEPS,
            **compare(model, texts[: arguments.adaptive], arguments.steps, internal, TOLERANCE),
        }
    for name, figures in result.items():
        print(f"{name}: {figures}")
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
