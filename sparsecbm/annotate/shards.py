"""Work in parts: each is done on its own, one that fails is tried again alone, and finished ones are kept.

The result does not depend on the number of workers, nor on the order in which parts end.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.annotate.annotator import Annotator, IncompleteError
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import empty_labels, read_labels, write_labels
from sparsecbm.annotate.people import nobody
from sparsecbm.base.engines import Engine
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.replacement import recover
from sparsecbm.base.workspace import Workspace

ATTEMPTS = 2  # for each part


@dataclass(frozen=True)
class Sharding:
    """How work is divided.

    Attributes:
        shards: number of parts
        engine: what runs them
        folder: where finished parts are kept until all are, so that an interrupted run need not repeat them
    """

    shards: int
    engine: Engine
    folder: Path


def parts_folder(workspace: Workspace) -> Path:
    """Where a workspace keeps finished parts."""
    return workspace.state / "annotations" / "parts"


def shard_of(key: str, shards: int) -> int:
    """The part that a text belongs to, 0 to shards - 1; it depends on the text alone."""
    return int(key, 16) % shards


def annotate_in_shards(
    annotator: Annotator, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], sharding: Sharding
) -> pd.DataFrame:
    """Label texts in parts, by an annotator that does not learn.

    Raises:
        IncompleteError: the annotator stopped early; the error carries the labels of all parts until then.
        ConfigError: it cannot work at all; no part is tried again.
        Exception: a part failed twice; finished parts are kept.
    """
    part_of = texts["key"].map(lambda key: shard_of(key, sharding.shards))

    def work(part: int) -> pd.DataFrame:
        own = texts[part_of == part].reset_index(drop=True)
        path = sharding.folder / f"{annotator.name}-{_content_hash(annotator, own, concepts)}.parquet"
        if path.is_file():
            return read_labels(path)
        labels = annotator.annotate(own, concepts, nobody())
        sharding.folder.mkdir(parents=True, exist_ok=True)
        write_labels(path, labels)
        return labels

    done: dict[int, pd.DataFrame] = {}
    waiting = sorted(set(part_of))
    stopped: IncompleteError | None = None
    for _ in range(ATTEMPTS):
        failed: dict[int, BaseException] = {}
        for part, result in sharding.engine(work, waiting):
            if isinstance(result, ConfigError):
                raise result
            if isinstance(result, IncompleteError):
                stopped, done[part] = result, result.labels
            elif isinstance(result, BaseException):
                failed[part] = result
            else:
                done[part] = result
        waiting = sorted(failed)
        if stopped is not None or not waiting:
            break
    labels = pd.concat([empty_labels(), *(done[part] for part in sorted(done))], ignore_index=True)
    if stopped is not None:
        raise IncompleteError(str(stopped), labels)
    if waiting:
        raise failed[waiting[0]]
    for path in sharding.folder.glob(f"{annotator.name}-*.parquet"):
        recover(path)  # a run that was killed just after it had written a part left its work folder
        path.unlink()
    return labels


def _content_hash(annotator: Annotator, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition]) -> str:
    """What a part's labels depend on."""
    inputs = [annotator.version, [concept.hash for concept in concepts], texts["key"].tolist()]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
