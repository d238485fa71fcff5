"""The whole check of a table: reference, window, measures, failures, and whether it triggers."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.files import sha256_file
from sparsecbm.base.params.drift import Drift
from sparsecbm.base.params.params import Params
from sparsecbm.base.published import PUBLISHED
from sparsecbm.base.workspace import Workspace
from sparsecbm.drift.failures import Failure, find_failures
from sparsecbm.drift.measures import Measure, compare_samples
from sparsecbm.drift.reference import load_or_build_reference
from sparsecbm.drift.sample import Sample, take_sample
from sparsecbm.drift.window_table import read_window
from sparsecbm.drift.windows import Window, remember_window, triggers
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.model.storage import load as load_model
from sparsecbm.train.reproducible import reproducible


@dataclass(frozen=True, config=PUBLISHED)
class DriftReport:
    """The output of `sparsecbm drift --json`."""

    texts: Annotated[int, Field(description="of the window")]
    reference_texts: int
    drifted: Annotated[bool, Field(description="whether any figure drifted in this window")]
    triggered: Annotated[list[str], Field(description="figures that drifted in each of the last windows")]
    windows: Annotated[int, Field(description="windows of this model so far, with this one")]
    windows_needed: Annotated[int, Field(description="windows running that trigger")]
    alpha: Annotated[float, Field(description="largest corrected p-value that counts as drift")]
    failures: list[Failure]
    measures: list[Measure]
    model_sha256: str
    table_sha256: str


def drift_folder(workspace: Workspace) -> Path:
    """Where a workspace keeps the reference and the last windows."""
    return workspace.state / "drift"


def windows_file(workspace: Workspace) -> Path:
    """The file of the last windows."""
    return drift_folder(workspace) / "windows.json"


def compare_window(reference: Sample, window: Sample, concept_set: ConceptSet, params: Drift, seed: int) -> DriftReport:
    """Compare a window with a reference, without regard to earlier windows.

    Raises:
        DataError: the window has too few texts.
    """
    if len(window) < params.least_texts:
        raise DataError(
            f"a window of {len(window)} texts is too small to tell drift from chance; bring at least "
            f"{params.least_texts}, or lower drift.least_texts"
        )
    measures = compare_samples(reference, window, concept_set, params, seed)
    return DriftReport(
        texts=len(window),
        reference_texts=len(reference),
        drifted=any(each.drifted for each in measures),
        triggered=[],
        windows=0,
        windows_needed=params.windows,
        alpha=params.alpha,
        failures=find_failures(measures, params),
        measures=measures,
        model_sha256="",
        table_sha256="",
    )


def check_table(workspace: Workspace, params: Params, model_folder: Path, table: Path, column: str) -> DriftReport:
    """Compare a table with the data of a model of this workspace, and remember the window.

    Args:
        column: of the texts

    Raises:
        DataError: the table cannot be read or is too small, or the workspace has no annotated data.
        ModelError: the model is missing, altered, or predicts no concepts.
    """
    with reproducible(params.seed, params.threads):
        model = load_model(model_folder)
        model_sha256 = sha256_file(model_folder / CHECKSUMS)
        read = read_window(table, model.concept_set, column)
        kept = drift_folder(workspace) / "reference"
        reference = load_or_build_reference(model, model_sha256, workspace.annotated, kept, params.drift, params.seed)
        kept_texts = (params.drift.sample, params.seed)
        window = take_sample(model, read.texts, read.gold, reference.vocabulary, kept_texts)
        report = compare_window(reference.sample, window, model.concept_set, params.drift, params.seed)
    names = tuple(each.name for each in report.measures if each.drifted)
    windows = remember_window(windows_file(workspace), Window(read.sha256, model_sha256, report.texts, names))
    return replace(
        report,
        triggered=triggers(windows, params.drift.windows),
        windows=len(windows),
        model_sha256=model_sha256,
        table_sha256=read.sha256,
    )
