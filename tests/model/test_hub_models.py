"""Models on a hub: the pinned client against a stand-in of the hub's HTTP interface on loopback."""

import hashlib
import json
from dataclasses import asdict

import pytest
import torch
from huggingface_hub import constants

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ModelError
from sparsecbm.model.checksums import model_checksum
from sparsecbm.model.hub import HubAddress, parse_address
from sparsecbm.model.storage import verify_checksums
from tests.support.hub_server import Repository
from tests.support.tiny_models import random_masks, tiny_model

NAME = "acme/reviews"
WEIGHTS = "model.safetensors"
TEXTS = ["the food was good", "the place was loud"]


@pytest.fixture
def sparse(model):
    model.means = {"activations": {}, "label_share": {}, "concept_shares": {}}
    model.masks = random_masks(model)
    return model


@pytest.fixture
def pushed(hub, sparse):
    return sparse.push_to_hub(NAME)


def alter(hub, name, content, listed=False):
    """Make a new commit in which one file has other content, or none; `listed` corrects the manifest."""
    repository = hub.repositories[NAME]
    files = {**repository.files, name: content}
    files = {path: each for path, each in files.items() if each is not None}
    if listed:
        checksums = {**json.loads(files["checksums.json"]), name: hashlib.sha256(content).hexdigest()}
        files["checksums.json"] = json.dumps(checksums).encode()
    return repository.commit(files)


def test_a_pushed_model_loads_as_the_same_model_and_names_its_commit(hub, sparse, pushed):
    loaded = SparseCBM.from_pretrained(f"{NAME}@main")
    assert model_checksum(loaded) == model_checksum(sparse)
    assert [p.to_dict() for p in loaded.predict(TEXTS)] == [p.to_dict() for p in sparse.predict(TEXTS)]
    assert loaded.origin == f"{NAME}@{pushed.commit}" == pushed.address
    assert pushed.commit == hub.repositories[NAME].refs["main"] and pushed.url.endswith(pushed.commit)
    assert sparse.origin is None


def test_the_files_go_the_ways_of_the_hub(hub, pushed):
    """Tensors go by LFS, all others in the commit, which is one; the card is not in the manifest."""
    repository = hub.repositories[NAME]
    assert repository.private and pushed.private and len(repository.commits) == 2
    assert {path for method, path in hub.log if method == "PUT"} == {
        f"/lfs/{hashlib.sha256(repository.files[name]).hexdigest()}" for name in (WEIGHTS, "masks.safetensors")
    }
    tokenizer = {name for name in repository.files if name.startswith("tokenizer/")}
    assert "tokenizer/tokenizer.json" in tokenizer
    files = {WEIGHTS, "masks.safetensors", "config.json", "concepts.json", "training_means.json", *tokenizer}
    assert set(json.loads(repository.files["checksums.json"])) == files
    assert set(pushed.files) == files | {"checksums.json", "README.md"}
    assert set(repository.files) == set(pushed.files) | {".gitattributes"}


def test_a_commit_loads_although_the_branch_moved(hub, sparse, pushed):
    with torch.no_grad():
        sparse.label_head.linear.bias += 1
    second = sparse.push_to_hub(NAME)
    assert second.commit != pushed.commit
    first, last = (SparseCBM.from_pretrained(f"{NAME}@{which}") for which in (pushed.commit, "main"))
    assert model_checksum(last) == model_checksum(sparse) != model_checksum(first)
    assert (first.origin, last.origin) == (pushed.address, second.address)


def test_pushing_the_same_again_makes_no_commit(hub, sparse, pushed):
    assert sparse.push_to_hub(NAME).commit == pushed.commit
    assert len(hub.repositories[NAME].commits) == 2


def test_a_file_that_the_next_model_lacks_is_deleted(hub, pushed, backbone):
    dense = tiny_model(backbone)
    dense.means = {"activations": {}, "label_share": {}, "concept_shares": {}}
    dense.push_to_hub(NAME)
    assert "masks.safetensors" not in hub.repositories[NAME].files
    assert SparseCBM.from_pretrained(f"{NAME}@main").masks is None


def test_the_card_may_be_edited_on_the_hub(hub, pushed):
    commit = alter(hub, "README.md", b"# My own words\n")
    assert SparseCBM.from_pretrained(f"{NAME}@main").origin == f"{NAME}@{commit}"


@pytest.mark.parametrize("name", ["concepts.json", WEIGHTS, "tokenizer/tokenizer.json"])
def test_an_altered_file_is_refused_by_name(hub, pushed, name):
    content = bytearray(hub.repositories[NAME].files[name])
    content[len(content) // 2] ^= 1
    alter(hub, name, bytes(content))
    with pytest.raises(ModelError, match=rf"{name} was altered\. Delete this folder .* trust another revision"):
        SparseCBM.from_pretrained(f"{NAME}@main")


def test_a_file_that_the_hub_lacks_is_refused_by_name(hub, pushed):
    alter(hub, "masks.safetensors", None)
    with pytest.raises(ModelError, match=r"masks\.safetensors is missing"):
        SparseCBM.from_pretrained(f"{NAME}@main")


@pytest.mark.parametrize("name", ["model.bin", "modeling.py", "tokenizer/code.py", "../outside.json", "other/x.json"])
def test_pickles_and_code_are_not_even_downloaded(hub, pushed, name):
    """A manifest that lists such a file is refused before the file is asked for."""
    alter(hub, name, b"cos\nsystem\n(S'true'\ntR.", listed=True)
    hub.log.clear()
    with pytest.raises(ModelError, match=r"checksums\.json lists .*which is no file of a model \(pickles"):
        SparseCBM.from_pretrained(f"{NAME}@main")
    assert not [path for _, path in hub.log if path.endswith((name, WEIGHTS))]


def test_a_file_beside_the_manifest_is_never_downloaded(hub, pushed, tmp_path):
    alter(hub, "model.bin", b"a pickle")
    SparseCBM.from_pretrained(f"{NAME}@main")
    assert not list((tmp_path / "cache").rglob("model.bin"))


def test_code_in_a_configuration_is_refused(hub, pushed):
    config = json.loads(hub.repositories[NAME].files["config.json"])
    config["backbone"]["auto_map"] = {"AutoModel": "modeling.Evil"}
    alter(hub, "config.json", json.dumps(config).encode(), listed=True)
    with pytest.raises(ModelError, match=r"asks to run code of its own \(auto_map\)"):
        SparseCBM.from_pretrained(f"{NAME}@main")


def test_a_cut_download_goes_on_where_it_broke_off(hub, sparse, pushed, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)  # the client goes on after the last whole chunk
    hub.cuts = 1
    assert model_checksum(SparseCBM.from_pretrained(f"{NAME}@main")) == model_checksum(sparse)
    resumed = [wanted for wanted in hub.ranges if wanted]
    assert len(resumed) == 1 and len(hub.ranges) == 3  # two files, one of them in two parts
    start = int(resumed[0].removeprefix("bytes=").removesuffix("-"))
    halves = [len(hub.repositories[NAME].files[name]) // 2 for name in (WEIGHTS, "masks.safetensors")]
    assert start in [half - half % 100 for half in halves]


def test_a_download_that_always_breaks_off_leaves_no_model(hub, pushed, monkeypatch, tmp_path):
    """The error names the repository; when the connection is good again, the same call succeeds."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(type(hub), "cuts", property(lambda _: 1, lambda *_: None), raising=False)
    with pytest.raises(ModelError, match=rf"{NAME}@{pushed.commit}: the hub at http://127.0.0.1:\d+ failed"):
        SparseCBM.from_pretrained(f"{NAME}@main")
    assert not list((tmp_path / "cache").rglob(f"snapshots/*/{WEIGHTS}"))
    monkeypatch.setattr(type(hub), "cuts", property(lambda _: 0, lambda *_: None))
    assert SparseCBM.from_pretrained(f"{NAME}@main").origin == pushed.address


def test_unknown_names_and_revisions(hub, pushed):
    with pytest.raises(ModelError, match=r"acme/nothing@main: http\S+ has no such repository, or it is private"):
        SparseCBM.from_pretrained("acme/nothing@main")
    with pytest.raises(ModelError, match="acme/reviews@v9: the repository has no such revision; name a branch"):
        SparseCBM.from_pretrained(f"{NAME}@v9")
    with pytest.raises(ModelError, match=r"acme/reviews does not exist.*with its revision: acme/reviews@main"):
        SparseCBM.from_pretrained(NAME)


def test_a_private_repository_needs_a_token_that_may_read(hub, pushed, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelError, match=r"it is private and your token cannot read it; .*`hf auth login`"):
        SparseCBM.from_pretrained(f"{NAME}@main")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelError, match=r"refuses your token \(status 401\)"):
        SparseCBM.from_pretrained(f"{NAME}@main")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert SparseCBM.from_pretrained(f"{NAME}@main").origin == pushed.address


def test_a_token_that_may_not_write_cannot_push(hub, sparse, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(ModelError, match=r"refuses your token \(status 403\)"):
        sparse.push_to_hub(NAME)
    assert not hub.repositories


def test_a_public_repository_takes_a_model_only_if_that_is_meant(hub, sparse):
    hub.repositories[NAME] = Repository(private=False)
    first = hub.repositories[NAME].commit({".gitattributes": b""})
    with pytest.raises(ModelError, match="acme/reviews is public, so everybody could read these files"):
        sparse.push_to_hub(NAME)
    assert hub.repositories[NAME].refs["main"] == first and not hub.lfs
    assert not sparse.push_to_hub(NAME, public=True).private


def test_a_repository_with_something_else_is_left_alone(hub, sparse, monkeypatch):
    hub.repositories[NAME] = Repository(private=True)
    first = hub.repositories[NAME].commit({"data.csv": b"a,b\n"})
    with pytest.raises(ModelError, match=r"acme/reviews holds .data\.csv., which this would not replace"):
        sparse.push_to_hub(NAME)
    assert hub.repositories[NAME].refs["main"] == first
    with pytest.raises(ModelError, match=r"is no model of sparsecbm: the repository has no checksums\.json"):
        SparseCBM.from_pretrained(f"{NAME}@main")


def test_offline_only_what_is_in_the_cache_loads(hub, pushed, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="acme/reviews@main: HF_HUB_OFFLINE is set, and the hub's cache"):
        SparseCBM.from_pretrained(f"{NAME}@main")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    SparseCBM.from_pretrained(f"{NAME}@main")
    hub.log.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in ("main", pushed.commit):
        assert SparseCBM.from_pretrained(f"{NAME}@{revision}").origin == pushed.address
    assert not hub.log


def test_pushing_offline_is_one_message(hub, sparse, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="acme/reviews: HF_HUB_OFFLINE is set"):
        sparse.push_to_hub(NAME)


def test_a_cached_commit_needs_no_request(hub, pushed):
    SparseCBM.from_pretrained(pushed.address)
    hub.log.clear()
    SparseCBM.from_pretrained(pushed.address)
    assert not hub.log


def test_a_file_damaged_in_the_cache_is_refused(hub, pushed, tmp_path):
    SparseCBM.from_pretrained(pushed.address)
    file = next((tmp_path / "cache").rglob(f"snapshots/*/{WEIGHTS}"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.resolve().write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors was altered\. Delete this folder"):
        SparseCBM.from_pretrained(pushed.address)


def test_links_may_lead_into_the_cache_alone(hub, pushed, tmp_path):
    """With Xet, the client keeps a file that several repositories share in `blobs` of the whole cache."""
    SparseCBM.from_pretrained(pushed.address)
    file = next((tmp_path / "cache").rglob(f"snapshots/*/{WEIGHTS}"))
    blob, shared = file.resolve(), tmp_path / "cache" / "blobs" / "ab" / "abcd"
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(shared)
    verify_checksums(file.parent)
    blob.unlink()
    shared.rename(tmp_path / "outside")
    blob.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError, match=r"model\.safetensors is a link"):
        verify_checksums(file.parent)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("acme/reviews@main", ("acme/reviews", "main")),
        ("reviews@refs/pr/1", ("reviews", "refs/pr/1")),
        ("models/sparse", None),
        ("models:/reviews@champion", None),
        ("/models/sparse@main", None),
        ("../sparse@main", None),
        ("a/b/c@main", None),
        ("acme/reviews@", None),
        ("acme/reviews@../x", None),
    ],
)
def test_what_is_an_address(text, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_address(text) == (address and HubAddress(*address))
    if address:  # a folder of that name comes first
        (tmp_path / text).mkdir(parents=True)
        assert parse_address(text) is None


def test_what_was_pushed_is_plain_data(pushed):
    assert set(asdict(pushed)) == {"name", "commit", "url", "private", "files"}
