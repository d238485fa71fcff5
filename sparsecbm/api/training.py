"""`fit` makes a dense model from a data frame; `prune` makes one with a subnetwork for each concept from that."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError

from sparsecbm.api.frames import Concepts, annotated_table, learn_concepts, split_validation, to_frame
from sparsecbm.api.model import SparseCBM
from sparsecbm.api.options import FitOptions, TrainOptions
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params import Finetune, Prune
from sparsecbm.base.params.section import Section, describe_fault
from sparsecbm.model.checksums import model_checksum
from sparsecbm.model.dry_run import dry_run
from sparsecbm.model.masked import find_blocks
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun, in_bf16, join_training
from sparsecbm.train.modes import fit as fit_dense
from sparsecbm.train.processes import count
from sparsecbm.train.reproducible import reproducible

DEFAULT_FIT = FitOptions()
DEFAULT_TRAIN = TrainOptions()


def fit(
    data: Any,
    concepts: Concepts,
    *,
    label: str = "label",
    text: str = "text",
    group: str | None = None,
    options: FitOptions = DEFAULT_FIT,
    **finetune: Any,
) -> SparseCBM:
    """Train a dense concept bottleneck on a data frame.

    Args:
        data: a pandas DataFrame or a `datasets.Dataset`: a text, a label and a column for each concept
        concepts: the columns of the concepts: one name, several names, or a mapping of names to their states in order
        label: the column of the label
        text: the column of the texts
        group: a column of groups of dependent texts; no group is in both training and validation
        options: backbone, settings of the model, validation, seed, checkpoints
        finetune: any key of the block `finetune` of `params.yaml`, such as `epochs=3` or `learning_rate=1e-4`

    Returns:
        the model of the best epoch; `model.history` holds its curves

    Raises:
        ConfigError: an option is unknown or out of range; names the choices.
        DataError: a column is missing, a text is missing, or a label or concept never varies.
        ModelError: the backbone cannot be loaded, or a dry run of training, pruning and explaining with it fails.
    """
    params = _checked(Finetune, finetune)
    frame = to_frame(data)
    concept_set = learn_concepts(frame, text, label, concepts, options.labels)
    training, held_out = _parts(frame, concept_set, text, group, options)
    join_training(params)
    with _training(options) as folder:
        model = SparseCBM.build(options.backbone, concept_set, options.settings)
        dry_run(model, bf16=in_bf16(params))
        checkpoints = Checkpoints(folder, _training_key(options.seed, model, (training, held_out), params))
        model.history = fit_dense(model, training, held_out, params, TrainingRun(options.seed, checkpoints))
    return model.to("cpu").eval()


def prune(
    model: SparseCBM,
    data: Any,
    *,
    text: str = "text",
    group: str | None = None,
    options: TrainOptions = DEFAULT_TRAIN,
    **params: Any,
) -> SparseCBM:
    """Find a subnetwork for each concept of a dense model; the given model stays as it is.

    Args:
        model: a dense model, as `fit` returns it
        data: the data that it was trained on; columns have the names of its concepts and its label
        text: as in `fit`
        group: as in `fit`
        options: validation, seed, checkpoints
        params: any key of the blocks `prune` and `finetune` of `params.yaml`, such as `sparsity=0.5`; where both have
            a key, such as `epochs`, it is that of `prune`. By default the upper half of the blocks is under masks

    Returns:
        the sparse model; `model.masks["food"]` is the mask of a concept

    Raises:
        ConfigError, DataError: as in `fit`.
        ModelError: the model has masks already, or no concepts.
    """
    of_prune = {key: value for key, value in params.items() if key in Prune.model_fields}
    of_finetune = {key: value for key, value in params.items() if key not in Prune.model_fields}
    for key in of_finetune:
        if key not in Finetune.model_fields:
            raise ConfigError(unknown("option", key, (*Prune.model_fields, *Finetune.model_fields)))
    of_prune.setdefault("masked_from", len(find_blocks(model.backbone)[1]) // 2)
    prune_options = PruneOptions(_checked(Prune, of_prune), _checked(Finetune, of_finetune))
    training, held_out = _parts(data, model.concept_set, text, group, options)
    join_training(prune_options.finetune)
    with _training(options) as folder:
        key = _training_key(options.seed, model, (training, held_out), prune_options.prune, prune_options.finetune)
        run = TrainingRun(options.seed, Checkpoints(folder, key))
        result = fit_masks(model, training, held_out, prune_options, run)
    result.model.history = result.history
    return result.model.to("cpu").eval()


def _parts(
    data: Any, concept_set: ConceptSet, text: str, group: str | None, options: TrainOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The annotated tables to train on and to validate on."""
    table = annotated_table(data, concept_set, text, group)
    if isinstance(options.validation, int | float):
        return split_validation(table, options.validation, options.seed)
    return table, annotated_table(options.validation, concept_set, text, group)


def _checked(section: type[Section], options: Mapping[str, Any]) -> Any:
    """A block of parameters with its defaults, in which the options replace their keys."""
    for key in options:
        if key not in section.model_fields:
            raise ConfigError(unknown("option", key, section.model_fields))
    try:
        return section(**options)
    except ValidationError as error:
        faults = [describe_fault(fault, ".".join(map(str, fault["loc"]))) for fault in error.errors()]
        raise ConfigError("; ".join(faults)) from None


@contextmanager
def _training(options: TrainOptions) -> Iterator[Path]:
    """A training that repeats, and the folder of its checkpoints: the given one, or one that is deleted afterwards."""
    with ExitStack() as stack:
        stack.enter_context(reproducible(options.seed, torch.get_num_threads()))
        if options.checkpoints is None and count() > 1:
            raise ConfigError("options.checkpoints: processes that train together need a folder that all of them see")
        folder = options.checkpoints or stack.enter_context(TemporaryDirectory(prefix="sparsecbm-"))
        yield Path(folder)


def _training_key(seed: int, model: SparseCBM, tables: Sequence[pd.DataFrame], *params: Section) -> str:
    """A hash of everything that determines a training of an untrained or a dense model."""
    digest = hashlib.sha256(repr((seed, model.settings, model.concept_set, model_checksum(model))).encode())
    for table in tables:
        digest.update(table.to_csv(index=False).encode())
    for section in params:
        digest.update(section.model_dump_json().encode())
    return digest.hexdigest()
