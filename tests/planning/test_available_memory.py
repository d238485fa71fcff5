"""The memory that a stage may take: of the machine, of a container with a limit, and of a GPU."""

import pytest
import torch

from sparsecbm.planning import available_memory as module
from sparsecbm.planning.available_memory import available_memory
from tests.support.planned import params_with

MACHINE = 8_000 * 1024


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Return the folder of limits of a machine with 8,000 kB of free memory and no GPU."""
    (tmp_path / "meminfo").write_text("MemTotal:  16000 kB\nMemAvailable:    8000 kB\nBuffers: 1 kB\n")
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(module, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "cgroup" / "memory").mkdir(parents=True)
    return tmp_path / "cgroup"


@pytest.mark.parametrize(
    ("name", "content", "available", "of_what"),
    [
        ("memory.max", "max\n", MACHINE, "this machine"),
        ("memory.max", "1000000\n", 1_000_000, "this container"),
        ("memory.max", "99000000000\n", MACHINE, "this machine"),
        ("memory/memory.limit_in_bytes", "2000000\n", 2_000_000, "this container"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE, "this machine"),
    ],
)
def test_the_smaller_of_machine_and_container_counts(cgroups, name, content, available, of_what):
    (cgroups / name).write_text(content)
    assert available_memory(params_with()) == (available, of_what)


def test_without_limits_the_machine_counts(cgroups):
    assert available_memory(params_with()) == (MACHINE, "this machine")


def test_of_a_gpu_what_others_left_counts(cgroups, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3_000_000, 9_000_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
    params = params_with()
    assert available_memory(params) == (3_000_000, "a GPU")
    on_cpu = params.finetune.model_copy(update={"device": "cpu"})
    assert available_memory(params.model_copy(update={"finetune": on_cpu})) == (MACHINE, "this machine")
