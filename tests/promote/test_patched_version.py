"""A version with patches in its masks: what is registered, what the gates say of it, and the exact way back."""

import sys
from dataclasses import replace

import pytest

import sparsecbm.cli.app
from sparsecbm.api import SparseCBM
from sparsecbm.base.files import sha256_file
from sparsecbm.intervene.patches.stack import reverted_copy
from sparsecbm.promote.artifacts import fetched_version
from sparsecbm.promote.register import _origin
from sparsecbm.promote.registry import PATCHES_TAG
from sparsecbm.track.lineage import LOCK_TAG
from tests.support.patches import patch_by_hand
from tests.support.planted_model import OUTER

pytestmark = pytest.mark.usefixtures("predict_in_process")

# Neuron 0 copies "bad" to dimension 8; dimension 15 stays empty: [hidden, neurons] is 16 by 32.
BAD, EMPTY = 8 * 32 + 0, 15 * 32 + 31


@pytest.fixture
def service(make_promotion_service, finish, good_model):
    """Return a service whose champion is the model of the workspace."""
    service = finish(make_promotion_service(), good_model)
    service.promote(service.gate())
    return service


@pytest.fixture
def approved(service, good_model):
    """Return the folder of the approved patches; `approve(name, bit)` puts one there."""
    folder = service.workspace.patch_requests / "approved"
    folder.mkdir(parents=True)

    def approve(name, bit):
        patch = replace(patch_by_hand(good_model, {OUTER: (bit,)}), note=name)
        patch.save(folder / f"{name}.patch")
        return patch

    return folder, approve


@pytest.fixture
def promote(service, monkeypatch, capsys):
    """Return a function that runs `sparsecbm promote` in the workspace; it gives the exit code and what is printed."""

    def run(*arguments):
        monkeypatch.chdir(service.workspace.root)
        monkeypatch.setattr(sys, "argv", ["sparsecbm", "promote", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            sparsecbm.cli.app.main()
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out + printed.err

    return run


def masks_of(service, number):
    with fetched_version(service.registry, number) as folder:
        return sha256_file(folder / "artifacts" / "model" / "masks.safetensors")


def test_the_gates_judge_the_patched_model(service, approved, promote):
    """Without the bit BAD the model misreads bad food, so the gates hold it; the champion stays."""
    folder, approve = approved
    patch = approve("harmful", BAD)
    before = sha256_file(service.workspace.sparse / "masks.safetensors")
    code, told = promote("--patches", folder)
    assert code == 1 and "not promoted: version 2, verdict HOLD" in told
    ledger = (service.workspace.state / "promotion" / "version-2" / "ledger.md").read_text()
    assert "significantly worse than the champion" in ledger
    assert f"Patches {patch.id[:12]} are in the masks" in ledger
    assert service.registry.alias("champion") == 1
    version = service.registry.version(2)
    assert version.tags[PATCHES_TAG] == patch.id[:12] and LOCK_TAG not in version.tags
    assert sha256_file(service.workspace.sparse / "masks.safetensors") == before == masks_of(service, 1)


def test_a_harmless_patch_can_become_the_champion_and_the_way_back_is_exact(service, approved, promote):
    folder, approve = approved
    patch = approve("harmless", EMPTY)
    before = sha256_file(service.workspace.sparse / "masks.safetensors")
    code, told = promote("--patches", folder)
    assert code == 1 and "HOLD" in told  # it is better in no score
    code, told = promote("--patches", folder, "--force", "--reason", "approved by Bea")
    assert code == 0 and "version 2 is the champion" in told  # the same patches give the same version
    assert masks_of(service, 2) != before
    with fetched_version(service.registry, 2) as version:
        patched = SparseCBM.from_pretrained(version / "artifacts" / "model")
    reverted_copy(patched, patch).save_pretrained(service.workspace.root / "reverted")
    assert sha256_file(service.workspace.root / "reverted" / "masks.safetensors") == before
    service.rollback("taken back")
    assert service.registry.alias("champion") == 1
    assert masks_of(service, 1) == before == sha256_file(service.workspace.sparse / "masks.safetensors")


def test_wrong_patches_are_told_and_register_nothing(service, approved, promote):
    folder, approve = approved
    code, told = promote("--patches", folder)
    assert code == 1 and "holds no patches; approve one in the workbench" in told
    code, told = promote("1", "--patches", folder)
    assert code == 1 and "only one of VERSION and --patches" in told
    patch = approve("first", EMPTY)
    replace(patch, weights="0" * 64).save(folder / "first.patch")
    code, told = promote("--patches", folder)
    assert code == 1 and "the weights have another checksum" in told
    assert service.registry.version_numbers() == [1]


def test_patches_tell_versions_of_one_run_apart(good_model):
    first, second = (patch_by_hand(good_model, {OUTER: (bit,)}) for bit in (BAD, EMPTY))
    origins = [_origin("run", []), _origin("run", [first]), _origin("run", [second]), _origin("run", [first, second])]
    assert origins[0] == {LOCK_TAG: "run"}
    assert len({next(iter(origin.values())) for origin in origins}) == 4
    assert _origin("run", [second, first]) == origins[3] != _origin("another run", [first, second])
