"""A language model's annotator on a few texts whose states are known."""

import argparse
from pathlib import Path

import pandas as pd
from pydantic import SecretStr

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import text_key, write_labels
from sparsecbm.annotate.llm.annotator import LlmAnnotator
from sparsecbm.annotate.llm.endpoint import Endpoint
from sparsecbm.annotate.llm.plan import Instructions
from sparsecbm.base.params.annotate import Llm

FOOD = ConceptDefinition("food", "The food.", {"bad": "It is criticised.", "good": "Praised.", "unknown": "Not there."})
NOISE = ConceptDefinition("noise", "", {"no": "It is quiet.", "yes": "It is loud."})
CONCEPTS = (FOOD, NOISE)
NOBODY = pd.DataFrame({"key": [], "concept": [], "state": []}, dtype="str")
KEY = "sk-test-0123456789"


def text_table(texts: list[str]) -> pd.DataFrame:
    """Texts as annotators get them, each a group of its own."""
    columns = {"key": [text_key(text) for text in texts], "text": texts, "group": [str(n) for n in range(len(texts))]}
    return pd.DataFrame(columns | {"label": None, "split": "train"})


def known_texts(number: int) -> pd.DataFrame:
    """Texts that name their states, as `openai_server.true_states` reads them."""
    foods, noises = list(FOOD.states), list(NOISE.states)
    return text_table([f"Text {n}: food {foods[n % 3]}, noise {noises[n % 2]}." for n in range(number)])


def known_states(texts: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(key, concept) -> state of `known_texts`."""
    foods, noises = list(FOOD.states), list(NOISE.states)
    states = {}
    for number, key in enumerate(texts["key"]):
        states[key, "food"], states[key, "noise"] = foods[number % 3], noises[number % 2]
    return states


def states_of(labels: pd.DataFrame) -> dict[tuple[str, str], str | None]:
    """(key, concept) -> state of a table of labels."""
    return {(row.key, row.concept): row.state if isinstance(row.state, str) else None for row in labels.itertuples()}


def make_annotator(
    url: str, folder: Path, key: str | None = KEY, model: str = "model-1", **settings: object
) -> LlmAnnotator:
    """An annotator with a file of answers in a folder."""
    endpoint = Endpoint(url, model, SecretStr(key) if key else None)
    options = Llm.model_validate({"concurrency": 4, "timeout": 5} | settings)
    return LlmAnnotator(options, endpoint, folder / "llm.sqlite", Instructions("Reviews of restaurants"))


def main() -> None:
    """Label known texts in this process; write FOLDER/llm.parquet at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    arguments = parser.parse_args()
    annotator = make_annotator(arguments.url, arguments.folder, concurrency=arguments.concurrency)
    labels = annotator.annotate(known_texts(arguments.texts), CONCEPTS, NOBODY)
    write_labels(arguments.folder / "llm.parquet", labels)


if __name__ == "__main__":
    main()
