"""Parts of an input, each of a fixed number of rows: what a worker does with one, and what it leaves on disk.

A part depends on the rows of the input alone, and batches are made inside it. So its bytes do not depend on the number
of workers, nor on which parts an earlier run finished.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.base.files import replacing
from sparsecbm.base.progress import no_progress
from sparsecbm.batch.answers import Answer, Answerer, AnswerSettings, is_finite, load_answerer
from sparsecbm.batch.rows import SHOWN, Row
from sparsecbm.train.reproducible import reproducible

PREDICTIONS, WORK = "predictions", ".batch"  # folders of the output
FAILING = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("reason", pa.string()), ("content", pa.string())]
)
_ORIGIN = [("file", pa.string()), ("row", pa.int64()), ("id", pa.string())]


@dataclass(frozen=True)
class InputPart:
    """Rows of an input, those that cannot be predicted included."""

    number: int
    rows: tuple[Row, ...]


def split(rows: Iterable[Row], size: int, wanted: set[int]) -> Iterator[InputPart]:
    """The wanted parts of an input, by number from 0. All rows are taken, so that the caller sees each of them.

    Args:
        size: rows of each part but the last
    """
    number, taken = 0, []
    for row in rows:
        taken.append(row)
        if len(taken) == size:
            if number in wanted:
                yield InputPart(number, tuple(taken))
            number, taken = number + 1, []
    if taken and number in wanted:
        yield InputPart(number, tuple(taken))


def part_file(output: Path, number: int) -> Path:
    """Where the answers of a part are."""
    return output / PREDICTIONS / f"part-{number:06}.parquet"


def failing_file(output: Path, number: int) -> Path:
    """Where the rows of a part that cannot be predicted wait for the end of the batch; nowhere if there are none."""
    return output / WORK / f"failing-{number:06}.parquet"


def is_finished(output: Path, number: int) -> bool:
    """Whether a part is on disk."""
    try:
        count_rows(part_file(output, number))
    except (OSError, pa.ArrowException):
        return False
    return True


def count_rows(path: Path) -> int:
    """Number of rows of a parquet file."""
    return int(pyarrow.parquet.read_metadata(path).num_rows)


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide the bytes of a part."""
    return {name: version(name) for name in ("pyarrow", "sparsecbm", "torch")}


@dataclass(frozen=True)
class PartWorker:
    """Answers a part and writes it. It can be sent to another process.

    Attributes:
        output: folder that every worker can write
        software: versions that every worker must have
    """

    output: Path
    settings: AnswerSettings
    software: Mapping[str, str]

    def __call__(self, part: InputPart) -> int:
        """Returns the number of the part.

        Raises:
            SparseCBMError: the model cannot be loaded, a file cannot be written, or this worker has other versions.
        """
        if installed_versions() != self.software:
            raise ConfigError(
                f"a worker has {installed_versions()}, but this batch began with {dict(self.software)}; install the "
                "same versions everywhere"
            )
        if is_finished(self.output, part.number):  # by a worker that was lost before it could say so
            return part.number
        # One thread, so that no sum depends on the number of cores.
        with no_progress(), reproducible(seed=0, threads=1):
            answerer = load_answerer(self.settings)
            texts = [row for row in part.rows if row.reason is None]
            failing = [row for row in part.rows if row.reason is not None]
            answered = []
            for row, answer in zip(texts, _answer(answerer, [row.text for row in texts]), strict=True):
                if isinstance(answer, str):
                    failing.append(row._replace(text=row.text[:SHOWN], reason=answer))
                else:
                    answered.append({"file": row.file, "row": row.number, "id": row.id, **answer})
        if failing:
            order = {(row.file, row.number): position for position, row in enumerate(part.rows)}
            failing.sort(key=lambda row: order[row.file, row.number])
            _write(failing_file(self.output, part.number), failing_table(failing))
        columns = pa.schema([*_ORIGIN, *answerer.columns])
        _write(part_file(self.output, part.number), pa.Table.from_pylist(answered, columns))
        return part.number


def _answer(answerer: Answerer, texts: Sequence[str]) -> list[Answer | str]:
    """An answer for each text, or the reason why there is none."""
    if not texts:
        return []
    try:
        answers = answerer.answer(list(texts))
    except (SparseCBMError, OSError, MemoryError):
        raise
    except Exception as error:
        reason = f"the model fails on this text: {error or type(error).__name__}".split("\n")[0]
        if len(texts) == 1:
            return [reason]
        # One text may be at fault, so each is answered by itself. If all fail, the fault is another.
        single = [_answer(answerer, [text])[0] for text in texts]
        if all(isinstance(answer, str) for answer in single):
            raise
        return single
    return [answer if is_finite(answer) else "the model's probabilities are no numbers" for answer in answers]


def failing_table(rows: Iterable[Row]) -> pa.Table:
    """Rows that cannot be predicted, as the quarantine holds them."""
    return pa.Table.from_pylist(
        [
            {"file": row.file, "row": row.number, "id": row.id, "reason": row.reason, "content": row.text}
            for row in rows
        ],
        FAILING,
    )


def _write(path: Path, table: pa.Table) -> None:
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
