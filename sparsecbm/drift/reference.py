"""What new texts are compared with: held-out texts of the data that a model was trained on.

The model has never learnt from them, so they are to it as new texts are. On its training texts it is more certain and
more often right than on any others, and every window would look like drift. The training texts give the vocabulary.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json, replacing_folder, write_json
from sparsecbm.base.params.drift import Drift
from sparsecbm.data.tables import read_manifest, read_split, split_names
from sparsecbm.drift.outputs import LABEL, Outputs
from sparsecbm.drift.sample import Sample, take_sample
from sparsecbm.drift.text_figures import TextFigures, collect_vocabulary
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.examples import class_indices

FORMAT = 2
ARRAYS, WORDS = "reference.safetensors", "reference.json"


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of one model.

    Attributes:
        sample: held-out texts
        vocabulary: every word of the training texts
    """

    sample: Sample
    vocabulary: frozenset[str]


def build_reference(
    model: ConceptBottleneck, training: Sequence[str], held_out: pd.DataFrame, sample: int, seed: int
) -> Reference:
    """Make the reference of a model.

    Args:
        training: the texts that it was trained on
        held_out: an annotated table of other texts from the same source
        sample: most texts whose representations are kept; the seed draws them
    """
    vocabulary = collect_vocabulary(training)
    gold = {LABEL: class_indices(held_out["label"], model.concept_set.label).numpy()}
    gold |= {c.name: class_indices(held_out[f"concept.{c.name}"], c).numpy() for c in model.concept_set}
    return Reference(take_sample(model, held_out["text"].tolist(), gold, vocabulary, (sample, seed)), vocabulary)


def load_or_build_reference(
    model: ConceptBottleneck, model_sha256: str, annotated: Path, folder: Path, params: Drift, seed: int
) -> Reference:
    """The reference of a model, from a folder if it was kept there; else it is made and kept.

    Args:
        model_sha256: of the model's list of checksums
        annotated: folder of the annotated splits
        folder: where the reference is kept, with a key over all that it depends on

    Raises:
        DataError: there is no such split, or the splits hold fewer texts than a window must.
    """
    splits = params.reference or [name for name in split_names(annotated) if name != "train"]
    data = {entry["name"]: entry["sha256"] for entry in read_manifest(annotated)["splits"]}
    parts = [FORMAT, model_sha256, {name: data.get(name) for name in ("train", *splits)}, params.sample, seed]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    if (folder / WORDS).is_file() and read_json(folder / WORDS).get("key") == key:
        return load_reference(folder)
    held_out = pd.concat([read_split(annotated, name) for name in splits], ignore_index=True)
    if len(held_out) < params.least_texts:
        raise DataError(
            f"{annotated}: the splits {', '.join(splits)} hold {len(held_out)} texts, fewer than drift.least_texts "
            f"({params.least_texts}); hold out more of them by split.validation and split.test"
        )
    training = read_split(annotated, "train")["text"].tolist()
    reference = build_reference(model, training, held_out, params.sample, seed)
    save_reference(reference, folder, key)
    return reference


def save_reference(reference: Reference, folder: Path, key: str) -> None:
    """Keep a reference in a folder, which appears whole or not at all, with a key over what it depends on."""
    sample, outputs, figures = reference.sample, reference.sample.outputs, reference.sample.figures
    arrays = {
        "disagreement": outputs.disagreement,
        "words": figures.words,
        "unknown_words": figures.unknown_words,
        "label_from_gold": sample.label_from_gold,
        **{f"probabilities.{name}": values for name, values in outputs.probabilities.items()},
        **{f"gold.{name}": values for name, values in sample.gold.items()},
        **{f"pooled.{name}": values for name, values in outputs.pooled.items()},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as fresh:
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, fresh / ARRAYS)
        words = {"key": key, "languages": figures.languages, "vocabulary": sorted(reference.vocabulary)}
        write_json(fresh / WORDS, words)


def load_reference(folder: Path) -> Reference:
    """Load a reference that `save_reference` kept."""
    arrays, words = load_file(folder / ARRAYS), read_json(folder / WORDS)

    def under(prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}

    outputs = Outputs(under("probabilities."), arrays["disagreement"], under("pooled."))
    figures = TextFigures(arrays["words"], arrays["unknown_words"], tuple(words["languages"]))
    return Reference(
        Sample(outputs, figures, under("gold."), arrays["label_from_gold"]), frozenset(words["vocabulary"])
    )
