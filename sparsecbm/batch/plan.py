"""What a batch is to do, so that a second call can go on with it, and what an output folder says of it.

predictions/part-000000.parquet   one file a part
quarantine.parquet                rows that cannot be predicted, with their reasons
manifest.json                     written last: the plan, counts, and the sha256 of every file
.batch/                           while it is unfinished: the plan, failing rows by part, a lock
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sparsecbm.base.errors import ConfigError, WriteError
from sparsecbm.base.files import read_json_object, write_json
from sparsecbm.base.flat import flat
from sparsecbm.base.outputs import refuse_inside_model
from sparsecbm.batch.parts import PREDICTIONS, WORK

FORMAT = 1
MANIFEST, PLAN, LOCK, QUARANTINE = "manifest.json", "plan.json", "lock", "quarantine.parquet"

Plan = Mapping[str, Any]


def check_output_folder(output: Path, plan: Plan) -> bool:
    """Check that an output folder is empty or holds this batch; returns whether the batch is finished.

    Raises:
        WriteError: something else is there.
        ConfigError: another batch is there; the message says what differs.
    """
    refuse_inside_model(output)
    if output.exists() and not output.is_dir():
        raise WriteError(output, "it is no folder; name another one")
    for file in (output / MANIFEST, output / WORK / PLAN):
        if file.is_file():
            recorded = read_json_object(file)
            differences = list(_differences(recorded.get("plan", {}), plan))
            if differences:
                listed = "\n".join(f"  {line}" for line in differences)
                raise ConfigError(
                    f"{output} holds a batch of something else:\n{listed}\n"
                    "Name another folder; or remove this one to start anew"
                )
            return file.name == MANIFEST
    if output.is_dir() and any(entry.name != WORK for entry in output.iterdir()):
        raise WriteError(output, "it is not empty and holds no batch; name a new folder")
    return False


@contextmanager
def opened(output: Path, plan: Plan) -> Iterator[None]:
    """Hold an output folder while the block works in it.

    Raises:
        WriteError: another process works in it.
    """
    work = output / WORK
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / LOCK, timeout=0):
            if not (work / PLAN).is_file():
                write_json(work / PLAN, {"plan": plan})
            (output / PREDICTIONS).mkdir(exist_ok=True)
            yield
    except Timeout:
        raise WriteError(output, "another process works in it; wait for its end") from None


def _differences(recorded: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    before, now = flat(recorded), flat(plan)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name}: {_value(before.get(name))} there, {_value(now.get(name))} now"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
