"""A part worker writes only with the versions that its batch began with, since other versions may give other bytes."""

import pytest

from sparsecbm import BatchOptions
from sparsecbm.base.engines import serial_engine
from sparsecbm.base.errors import ConfigError
from sparsecbm.batch import parts
from sparsecbm.batch.parts import installed_versions
from sparsecbm.batch.run import prepare_batch, run_batch
from tests.support.explained_model import with_means

TEXTS = ("the food was good", "slow service")


@pytest.fixture
def inputs(model, tmp_path):
    """Return a model folder and a table of texts."""
    with_means(model).save_pretrained(tmp_path / "model")
    (tmp_path / "in.csv").write_text("text\n" + "".join(f"{text}\n" for text in TEXTS))
    return tmp_path / "model", tmp_path / "in.csv"


def prepared(inputs, output):
    return prepare_batch(*inputs, output, BatchOptions())


@pytest.mark.parametrize("package", ["pyarrow", "sparsecbm", "torch"])
def test_a_worker_of_another_version_is_refused_and_writes_nothing(inputs, tmp_path, monkeypatch, package):
    batch = prepared(inputs, tmp_path / "out")
    here = installed_versions()
    monkeypatch.setattr(parts, "installed_versions", lambda: {**here, package: "0.0.1"})  # on the worker's machine
    with pytest.raises(ConfigError) as refused:
        run_batch(batch, serial_engine())
    message = str(refused.value)
    worker, begun = message.split(", but this batch began with ")
    assert f"'{package}': '0.0.1'" in worker and f"'{package}': '{here[package]}'" in begun
    assert message.endswith("; install the same versions everywhere")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_the_same_batch_goes_on_with_a_worker_of_its_own_versions(inputs, tmp_path, monkeypatch):
    batch = prepared(inputs, tmp_path / "out")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(parts, "installed_versions", lambda: {**installed_versions(), "torch": "0.0.1"})
        with pytest.raises(ConfigError, match=r"'torch': '0\.0\.1'"):
            run_batch(batch, serial_engine())
    summary = run_batch(batch, serial_engine())
    assert (summary.predicted, summary.new_parts) == (len(TEXTS), 1)
