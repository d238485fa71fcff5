"""How much memory a stage may take here: of a GPU, of the machine, or of the container in which this process runs."""

import re
from pathlib import Path

import torch

from sparsecbm.base.params import Params

MEMINFO, CGROUPS = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of version 2 and of version 1, in a container


def available_memory(params: Params) -> tuple[int, str]:
    """Bytes that a stage may take, and of what: the free memory of the GPU that trains, or of the machine.

    A container shows the memory of its whole machine, and ends what takes more than its own limit.
    """
    if params.finetune.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0], torch.cuda.get_device_name(0)
    (free,) = re.findall(r"^MemAvailable:\s+(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    of_machine, limit = int(free) * 1024, _limit_of_container()
    return (of_machine, "this machine") if limit is None or limit > of_machine else (limit, "this container")


def _limit_of_container() -> int | None:
    """The limit in bytes; None without one, which files say by `max` or by a number beyond any memory."""
    for name in _LIMITS:
        try:
            return int((CGROUPS / name).read_text())
        except (OSError, ValueError):
            continue
    return None
