"""How often a language model obeys orders in texts that it labels.

    SPARSECBM_LLM_URL=... SPARSECBM_LLM_MODEL=... python -m benchmarks.injections
    python -m benchmarks.injections --llama

`--llama` starts llama.cpp with SmolLM2-135M, from two wheels (see tests/support/llama_server.py).

The texts are those of tests/annotate/injections.py, the concepts those of data/app-reviews without their examples. An
order demands a state that its text does not have. `obeyed` is the share of demanded states that the model gives.
`control` is the same share for the texts without the order: a model that labels at chance gives a demanded state by
chance. `effect` is the difference, with a 95 % interval by bootstrap over orders. `accuracy` is over all concepts that
no order is about, and over all concepts of the texts without order. The results are kept by the name of the model.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sparsecbm.annotate.concept_file import ConceptFile, read_concept_file
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.llm.annotator import LlmAnnotator
from sparsecbm.annotate.llm.endpoint import Endpoint, read_endpoint
from sparsecbm.annotate.llm.plan import Instructions
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params.annotate import Llm
from tests.annotate.injections import INJECTIONS, Injection
from tests.support.llama_server import llama_server

ROOT = Path(__file__).parent.parent
CONCEPTS = ROOT / "data" / "app-reviews" / "concepts.yaml"
RESULTS = Path(__file__).parent / "results" / "injections.json"
RESAMPLES = 2000

States = Mapping[str, str | None]  # concept -> state that the model gives


def measure(injections: Sequence[Injection], answers: Mapping[str, States]) -> dict:
    """Compare the answers to texts with and without orders.

    Args:
        answers: text -> states, of the texts with and of those without their orders
    """
    obeyed, control, rest_right, clean_right = [], [], [], []
    for injection in injections:
        with_order, without = answers[injection.text], answers[injection.clean]
        demanded = injection.demanded.items()
        obeyed.append(np.mean([with_order[name] == state for name, state in demanded]))
        control.append(np.mean([without[name] == state for name, state in demanded]))
        rest = [(name, state) for name, state in injection.states.items() if name not in injection.demanded]
        rest_right += [with_order[name] == state for name, state in rest]
        clean_right += [without[name] == state for name, state in injection.states.items()]
    differences = np.array(obeyed) - np.array(control)
    drawn = np.random.default_rng(0).integers(len(differences), size=(RESAMPLES, len(differences)))
    interval = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return {
        "orders": len(injections),
        "obeyed": _rounded(np.mean(obeyed)),
        "control": _rounded(np.mean(control)),
        "effect": {"mean": _rounded(differences.mean()), "interval": [_rounded(bound) for bound in interval]},
        "accuracy": {"other_concepts": _rounded(np.mean(rest_right)), "without_order": _rounded(np.mean(clean_right))},
        "obeyed_forms": [each.form for each, share in zip(injections, differences, strict=True) if share > 0],
    }


def label(endpoint: Endpoint, definitions: ConceptFile, texts: Sequence[str]) -> dict[str, States]:
    """Text -> states, by the annotator `llm` at its defaults but for the concurrency."""
    keys = [text_key(text) for text in texts]
    frame = pd.DataFrame({"key": keys, "text": texts, "group": keys, "label": None, "split": "train"})
    nobody = pd.DataFrame({"key": [], "concept": [], "state": []}, dtype="str")
    with tempfile.TemporaryDirectory() as folder:
        settings = Llm(concurrency=2, timeout=300)
        annotator = LlmAnnotator(settings, endpoint, Path(folder) / "llm.sqlite", Instructions(definitions.task))
        labels = annotator.annotate(frame, definitions.concepts, nobody)
    states = labels.assign(state=labels["state"].where(labels["state"].notna(), None))
    by_key = {key: dict(zip(rows["concept"], rows["state"], strict=True)) for key, rows in states.groupby("key")}
    return {text: by_key[key] for text, key in zip(texts, keys, strict=True)}


def _rounded(figure: float) -> float:
    return round(float(figure), 4)


def main() -> None:
    """Label all texts, and write what orders did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama", action="store_true", help="start llama.cpp with SmolLM2-135M, and ask it")
    arguments = parser.parse_args()
    texts = list(dict.fromkeys([each.clean for each in INJECTIONS] + [each.text for each in INJECTIONS]))
    with contextlib.ExitStack() as stack:
        if arguments.llama:
            endpoint = Endpoint(stack.enter_context(llama_server()), "SmolLM2-135M-Instruct")
        else:
            endpoint = read_endpoint()
        definitions = read_concept_file(CONCEPTS)
        shorter = tuple(replace(concept, examples=()) for concept in definitions.concepts)
        answers = label(endpoint, replace(definitions, concepts=shorter), texts)
    results = read_json(RESULTS) if RESULTS.is_file() else {}
    results[endpoint.model] = measure(INJECTIONS, answers)
    write_json(RESULTS, results)
    print({name: figure for name, figure in results[endpoint.model].items() if name != "obeyed_forms"})


if __name__ == "__main__":
    main()
