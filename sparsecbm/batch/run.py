"""Predict a whole input into a folder, or go on where an earlier call ended."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from sparsecbm.base.engines import Engine, process_engine, serial_engine
from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.files import read_json_object, replacing, sha256_file, write_json
from sparsecbm.base.progress import progress
from sparsecbm.batch.answers import EXPLAIN, AnswerSettings, Explain, model_checksum, resolve
from sparsecbm.batch.parts import (
    FAILING,
    WORK,
    InputPart,
    PartWorker,
    count_rows,
    failing_file,
    installed_versions,
    is_finished,
    part_file,
    split,
)
from sparsecbm.batch.plan import FORMAT, MANIFEST, QUARANTINE, Plan, check_output_folder, opened
from sparsecbm.batch.readers import Columns
from sparsecbm.batch.rows import Row
from sparsecbm.batch.source import Source, Survey
from sparsecbm.intervene.memory.index import INDEX
from sparsecbm.model.execution import Precision

ROWS = 1_000  # of a part
_PRECISIONS = ("auto", "float32", "bf16")


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What is read and what is written.

    Attributes:
        column: of the texts in a table
        id_column: of names of rows, which the output repeats
        split: of a data set with several splits
        explain: none | short (contributions of concepts) | full (words and subnetworks, too)
        precision: auto (bf16 if the processor multiplies it) | float32 | bf16
        patches: files of mask patches to apply
        corrections: a store of corrections (`sparsecbm memory`) that act on similar texts
        threshold: smallest similarity at which a correction acts, from -1 to 1
    """

    column: str = "text"
    id_column: str | None = None
    split: str | None = None
    explain: Explain = "none"
    precision: Precision = "auto"
    patches: tuple[Path, ...] = ()
    corrections: Path | None = None
    threshold: float | None = None


DEFAULT_OPTIONS = BatchOptions()


@dataclass(frozen=True)
class BatchSummary:
    """What became of an input.

    Attributes:
        rows: of the input
        predicted: rows with an answer
        quarantined: rows without one; `quarantine.parquet` lists them
        parts: files of answers
        new_parts: those that this call made
    """

    rows: int
    predicted: int
    quarantined: int
    parts: int
    new_parts: int

    def describe(self, output: Path) -> list[str]:
        """The same in sentences."""
        lines = [f"{self.predicted:,} of {self.rows:,} rows predicted, in {self.parts:,} part(s) of {output}"]
        if self.new_parts < self.parts:
            lines.append(f"{self.parts - self.new_parts:,} part(s) were there already")
        if self.quarantined:
            lines.append(f"{self.quarantined:,} row(s) cannot be predicted; {output / QUARANTINE} says why")
        return lines


@dataclass(frozen=True)
class Batch:
    """A batch that is checked and can be run.

    Attributes:
        plan: everything that the output depends on, without paths, as the manifest holds it
    """

    source: Source
    survey: Survey
    output: Path
    settings: AnswerSettings
    plan: Plan

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.survey.rows // self.rows_a_part)

    @property
    def rows_a_part(self) -> int:
        """Rows of each part but the last."""
        return int(self.plan["options"]["rows_a_part"])


def predict_batch(
    model: str | Path,
    source: str | Path,
    output: str | Path,
    options: BatchOptions = DEFAULT_OPTIONS,
    workers: int = 1,
) -> BatchSummary:
    """Predict all texts of a file, a folder or a data set into a folder; memory does not grow with their number.

    A second call with the same input, model and options does what is missing. The files do not depend on `workers`.
    With several workers, new processes import the calling script, so it needs `if __name__ == "__main__":`.

    Args:
        model: folder of a model, or of an exported one
        source: a parquet, csv, tsv or jsonl file, a folder of such files or of txt files, a saved data set, or
            `hub:NAME`
        output: folder of `predictions/`, `quarantine.parquet` and `manifest.json`
        workers: processes, each with a copy of the model and one thread

    Raises:
        ConfigError: an option is wrong, or the output folder holds another batch.
        DataError: the input cannot be read, changes meanwhile, or no row of it can be predicted.
        ModelError, InterventionError: the model, a patch or the corrections cannot be used.
    """
    if workers < 1:
        raise ConfigError(f"the number of workers is at least 1, not {workers}")
    batch = prepare_batch(model, source, output, options)
    workers = min(workers, batch.parts)
    return run_batch(batch, serial_engine() if workers == 1 else process_engine(workers))


def prepare_batch(model: str | Path, source: str | Path, output: str | Path, options: BatchOptions) -> Batch:
    """Check model, options and output folder, and read the input once."""
    if options.explain not in EXPLAIN:
        raise ConfigError(unknown("kind of explanation", options.explain, EXPLAIN))
    if options.precision not in _PRECISIONS:
        raise ConfigError(unknown("precision", options.precision, _PRECISIONS))
    if (options.corrections is None) != (options.threshold is None):
        raise ConfigError("corrections (--corrections) and the similarity at which they act (--threshold) go together")
    target = Path(output).absolute()
    if Path(source).is_dir() and target.resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"{output} is inside the input {source}, so it would be read, too; name another folder")
    folder = Path(model).absolute()
    settings = resolve(
        AnswerSettings(
            folder,
            model_checksum(folder),
            "auto",
            options.precision,
            options.explain,
            tuple(Path(patch).absolute() for patch in options.patches),
            None if options.corrections is None else Path(options.corrections).absolute(),
            1.0 if options.threshold is None else options.threshold,
        )
    )
    named = Source(str(source), Columns(options.column, options.id_column), options.split)
    survey = named.survey()
    if not survey.rows:
        raise DataError(f"{source} has no rows")
    plan = {
        "format": FORMAT,
        "input": {"rows": survey.rows, "sha256": survey.sha256},
        "model": {"version": settings.sha256[:12], "sha256": settings.sha256},
        "options": {
            "column": options.column,
            "id_column": options.id_column,
            "split": options.split,
            "explain": settings.explain,
            "masks": settings.masks,
            "precision": settings.precision,
            "patches": [sha256_file(patch) for patch in settings.patches],
            "corrections": None if settings.corrections is None else sha256_file(settings.corrections / INDEX),
            "threshold": options.threshold,
            "rows_a_part": ROWS,
        },
        "software": installed_versions(),
    }
    return Batch(named, survey, target, settings, plan)


def run_batch(batch: Batch, engine: Engine) -> BatchSummary:
    """Do the parts that are missing, and write the manifest.

    Raises:
        DataError: the input changed after it was checked, or no row could be predicted.
        Exception: what ended a part; finished parts are kept.
    """
    if check_output_folder(batch.output, batch.plan):
        return _finished(batch)
    with opened(batch.output, batch.plan):
        missing = {number for number in range(batch.parts) if not is_finished(batch.output, number)}
        work = PartWorker(batch.output, batch.settings, batch.plan["software"])
        parts = _checked_parts(batch, missing)
        for _, result in progress(engine(work, parts), "predict", "part", len(missing)):
            if isinstance(result, BaseException):
                raise result
        manifest = _finish(batch)
    shutil.rmtree(batch.output / WORK, ignore_errors=True)
    return _summary(batch, manifest, len(missing))


def _checked_parts(batch: Batch, wanted: set[int]) -> Iterator[InputPart]:
    """The wanted parts of the input, and an error at its end if it is not what was checked."""
    digest = hashlib.sha256()

    def rows() -> Iterator[Row]:
        for row in batch.source.rows():
            digest.update(json.dumps(row).encode())
            yield row

    if not wanted:
        return
    yield from split(rows(), batch.rows_a_part, wanted)
    if digest.hexdigest() != batch.survey.sha256:
        raise DataError(f"{batch.source.name} changed while it was read; run this batch once more, into a new folder")


def _finish(batch: Batch) -> dict[str, Any]:
    """Gather the failing rows of all parts, and describe all files."""
    quarantine = batch.output / QUARANTINE
    with replacing(quarantine) as temporary, pyarrow.parquet.ParquetWriter(temporary, FAILING) as writer:
        for number in range(batch.parts):
            failing = failing_file(batch.output, number)
            if failing.is_file():
                writer.write_table(pyarrow.parquet.read_table(failing))
    files = [part_file(batch.output, number) for number in range(batch.parts)]
    parts = [_file_entry(batch.output, file) for file in files]
    manifest = {"plan": batch.plan, "parts": parts, "quarantine": _file_entry(batch.output, quarantine)}
    found = sum(part["rows"] for part in parts) + manifest["quarantine"]["rows"]
    if found != batch.survey.rows:
        raise DataError(f"{batch.output} holds {found:,} of {batch.survey.rows:,} rows; remove it and start anew")
    write_json(batch.output / MANIFEST, manifest)
    return manifest


def _file_entry(output: Path, file: Path) -> dict[str, Any]:
    return {"name": file.relative_to(output).as_posix(), "rows": count_rows(file), "sha256": sha256_file(file)}


def _finished(batch: Batch) -> BatchSummary:
    """The summary of a batch whose files are all there."""
    manifest = read_json_object(batch.output / MANIFEST)
    for entry in [*manifest["parts"], manifest["quarantine"]]:
        file = batch.output / entry["name"]
        if not file.is_file() or sha256_file(file) != entry["sha256"]:
            raise DataError(f"{file} is missing or was altered; remove {batch.output} and start anew")
    shutil.rmtree(batch.output / WORK, ignore_errors=True)  # a call was killed before it could do this
    return _summary(batch, manifest, 0)


def _summary(batch: Batch, manifest: dict[str, Any], new_parts: int) -> BatchSummary:
    quarantined = manifest["quarantine"]["rows"]
    predicted = batch.survey.rows - quarantined
    if not predicted:
        raise DataError(
            f"no row can be predicted: all {quarantined:,} are in {batch.output / QUARANTINE}, with their reasons"
        )
    return BatchSummary(batch.survey.rows, predicted, quarantined, batch.parts, new_parts)
