"""Two processes that train together give what one gives; one that is killed ends the other, and both resume."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from sparsecbm.base.errors import ConfigError
from sparsecbm.model.masks import unpack
from sparsecbm.train.processes import add_up, add_up_gradients, check_shares, count, rank, share, writes
from tests.support.processes import environment, run_together
from tests.support.shared_training import train
from tests.support.tiny_pipeline import ROOT, free_port

SCRIPT = ROOT / "tests" / "support" / "shared_training.py"


@pytest.fixture(scope="module")
def pair(backbone, tmp_path_factory):
    """Return the folders of a training by one process and of the same training by two."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    for code, errors in run_together(SCRIPT, backbone, together):
        assert code == 0, errors
    train(backbone, alone)
    return alone, together


def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_one_process_shares_with_nobody():
    tensor, parameter = torch.ones(2), torch.nn.Parameter(torch.ones(2))
    add_up([tensor])
    add_up_gradients([parameter])
    assert (count(), rank(), writes(), share([1, 2, 3])) == (1, 0, True, [1, 2, 3])
    assert tensor.tolist() == [1, 1] and parameter.grad is None


def test_batches_that_cannot_be_shared_are_an_error_that_says_what_can(monkeypatch):
    check_shares(3, 16)  # by one process
    monkeypatch.setattr("sparsecbm.train.processes.count", lambda: 2)
    check_shares(4, 16)
    with pytest.raises(ConfigError, match=r"finetune.accumulate=2 with finetune.batch_size=8, so that an update keeps"):
        check_shares(1, 16)


@pytest.mark.slow
def test_losses_and_weights_are_those_of_one_process(pair):
    """Losses agree to 1e-3 and weights to 2e-3; another order of texts changes both far more."""
    one, two = map(report, pair)
    assert [point["step"] for point in one["curves"]] == [point["step"] for point in two["curves"]] == [10, 14]
    for a, b in zip(one["curves"] + one["epochs"], two["curves"] + two["epochs"], strict=True):
        assert a == pytest.approx(b, abs=1e-3)
    first, second = (load_file(folder / "dense.safetensors") for folder in pair)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_masks_are_those_of_one_process(pair):
    first, second = (load_file(folder / "sparse.safetensors") for folder in pair)
    equal = kept = total = 0
    for name in (name for name in first if name.startswith("mask:")):
        rows, columns = first[name.replace("mask:", "backbone.") + ".weight"].shape
        for a, b in zip(first[name], second[name], strict=True):
            one, two = unpack(a, (rows, columns)), unpack(b, (rows, columns))
            equal, kept, total = equal + int((one == two).sum()), kept + int(one.sum()), total + one.numel()
    assert equal / total > 0.99 and kept / total == pytest.approx(0.5, abs=0.01)  # masks by chance agree by half


@pytest.mark.slow
def test_gradients_for_saliencies_are_the_same_to_the_byte(pair):
    first, second = ((folder / "gradients.safetensors").read_bytes() for folder in pair)
    assert first == second


@pytest.mark.slow
def test_processes_that_differ_are_an_error_that_lists_them(pair):
    devices, shares = report(pair[1])["messages"]
    assert "process 0: cpu" in devices and "in float32; process 1: cpu" in devices and "in bf16" in devices
    assert "2 processes share the batches of an update, and 3 cannot be shared" in shares
    assert report(pair[0])["messages"] == ["", ""]


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_the_training_resumes_to_the_same_bytes(pair, backbone, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run"]
    command = [*launcher, "--nproc-per-node", "2", "--master-port", str(free_port())]
    victims = subprocess.Popen(
        [*command, SCRIPT, backbone, tmp_path, "1"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (line := victims.stdout.readline()).startswith("1 10 "):
        assert line, victims.stderr.read()
    os.kill(int(line.split()[2]), signal.SIGKILL)
    _, errors = victims.communicate(timeout=300)
    assert victims.returncode != 0
    # It is told by the connection that breaks, or by the launcher.
    assert re.search(
        r"error: (another process of this training has ended|this process of the training was asked)", errors
    )
    assert "it goes on from its last checkpoint" in errors
    assert not (tmp_path / "dense.safetensors").exists()
    assert json.loads((tmp_path / "finetune" / "last" / "progress.json").read_text())["step"] >= 7
    for code, errors in run_together(SCRIPT, backbone, tmp_path):
        assert code == 0, errors
    for name in ("dense", "sparse"):
        file = f"{name}.safetensors"
        assert (tmp_path / file).read_bytes() == (pair[1] / file).read_bytes()
