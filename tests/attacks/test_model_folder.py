"""Model folders that somebody altered: each is loaded as it was, or refused in one message. No code of theirs runs."""

import json
import os
import random
import shutil
import socket
from pathlib import Path

import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ModelError, SparseCBMError
from sparsecbm.base.files import write_json
from sparsecbm.model.backbone import load_backbone
from sparsecbm.model.storage import compute_checksums
from tests.support.tiny_models import TEXTS, random_masks, tiny_model, write_backbone

JSON_FILES = (
    "config.json",
    "concepts.json",
    "training_means.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/tokenizer.json",
)
WEIGHTS = ("model.safetensors", "masks.safetensors")
VALUES = [
    None, True, -1, 0, 1, 3, 2**31 + 1, 2**70, 10**400, 0.5, -1e308, float("nan"), float("inf"), "", "x", "x" * 10_000,
    "bert", "gpt2", "\ud800", [], [1], [[[]]], {}, {"a": {}}, ["x"] * 100,
]  # fmt: skip
SEED = 15


@pytest.fixture(scope="module")
def pristine(backbone, tmp_path_factory):
    """Return the folder of a masked model and its predictions."""
    model = tiny_model(backbone)
    model.masks = random_masks(model)
    model.add_hard_head()
    model.means = {"activations": _means(model), "label_share": {}, "concept_shares": _means(model)}
    folder = tmp_path_factory.mktemp("pristine") / "model"
    model.save_pretrained(folder)
    return folder, [prediction.to_dict() for prediction in model.predict(TEXTS)]


def _means(model):
    return {concept.name: dict.fromkeys(concept.states, 0.5) for concept in model.concept_set}


@pytest.fixture
def folder(pristine, tmp_path):
    """Return a copy of the folder that a test may alter."""
    return Path(shutil.copytree(pristine[0], tmp_path / "model"))


def renew_checksums(folder):
    write_json(folder / "checksums.json", compute_checksums(folder))


def outcome(folder):
    """Return predictions of a folder, or the message of our own error; any other error fails the test."""
    try:
        return [prediction.to_dict() for prediction in SparseCBM.from_pretrained(folder).predict(TEXTS)]
    except SparseCBMError as error:
        message = str(error)
        assert len(message) < 2000 and "Traceback" not in message
        return message


def places(content, path=()):
    """Return the path of every value in a JSON tree."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def mutate_json(text, draw):
    """Return JSON in which a value is replaced, removed, repeated, or a key is added."""
    content = json.loads(text)
    path = draw.choice(places(content)[1:])
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    kind = draw.choice(["replace", "replace", "remove", "nest", "add"])
    if kind == "replace":
        parent[path[-1]] = draw.choice(VALUES)
    elif kind == "remove":
        del parent[path[-1]]
    elif kind == "nest":
        parent[path[-1]] = {"inner": parent[path[-1]]}
    elif isinstance(parent, dict):
        parent[draw.choice(["num_hidden_layers", "auto_map", "x", "rope_parameters"])] = draw.choice(VALUES)
    else:
        parent.append(draw.choice(VALUES))
    return json.dumps(content).encode()


def mutate_bytes(content, draw, within):
    """Return bytes with a change among the first `within`: bits flipped, a part cut out, or bytes put in."""
    content, at = bytearray(content), draw.randrange(within)
    kind = draw.choice(["flip", "flip", "cut", "insert", "end"])
    if kind == "flip":
        content[at] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del content[at : at + draw.randrange(1, 40)]
    elif kind == "insert":
        content[at:at] = draw.choice([b"\x00", b"\xff\xfe", b"9" * 50, b'"', b"{" * 20, b"[" * 200_000])
    else:
        del content[at:]
    return bytes(content)


@pytest.mark.parametrize("part", range(8))
def test_a_file_that_was_altered_is_refused(pristine, folder, part):
    """The checksums stay as they were: only a change that means nothing, such as a blank in them, is let through."""
    draw = random.Random(SEED * 100 + part)
    files = [*JSON_FILES, *WEIGHTS, "checksums.json", "README.md"]
    refused = 0
    for _ in range(25):
        file = folder / draw.choice(files)
        before = file.read_bytes()
        file.write_bytes(mutate_bytes(before, draw, len(before)))
        result = outcome(folder)
        assert isinstance(result, str) or result == pristine[1], file
        refused += isinstance(result, str)
        file.write_bytes(before)
    assert refused > 20
    assert outcome(folder) == pristine[1]


@pytest.mark.parametrize("file", JSON_FILES)
def test_values_of_a_forged_file_end_in_predictions_or_in_one_message(folder, file):
    """The checksums are those of the forged files, so the values themselves are read."""
    draw = random.Random(f"{SEED} {file}")
    path = folder / file
    before = path.read_bytes()
    kinds = set()
    for _ in range(40):
        path.write_bytes(mutate_json(before, draw))
        renew_checksums(folder)
        kinds.add(type(outcome(folder)))
        path.write_bytes(before)
    assert str in kinds
    renew_checksums(folder)
    assert isinstance(outcome(folder), list)


@pytest.mark.parametrize("file", [*JSON_FILES, *WEIGHTS])
def test_bytes_of_a_forged_file_end_in_predictions_or_in_one_message(folder, file):
    draw = random.Random(f"{SEED} bytes {file}")
    path = folder / file
    before = path.read_bytes()
    header = 8 + int.from_bytes(before[:8], "little") if file in WEIGHTS else len(before)
    for _ in range(20):
        path.write_bytes(mutate_bytes(before, draw, header))
        renew_checksums(folder)
        outcome(folder)
        path.write_bytes(before)
    renew_checksums(folder)
    assert isinstance(outcome(folder), list)


def test_forged_metadata_of_masks_end_in_predictions_or_in_one_message(folder):
    draw = random.Random(f"{SEED} masks")
    path = folder / "masks.safetensors"
    before = path.read_bytes()
    length = int.from_bytes(before[:8], "little")
    header = json.loads(before[8 : 8 + length])
    refused = 0
    for number in range(60):
        forged = dict(header)
        if number % 2:
            described = mutate_json(header["__metadata__"]["masks"], draw)
            forged["__metadata__"] = {"masks": described.decode()}
            content = json.dumps(forged).encode()
        else:
            content = mutate_json(json.dumps(header), draw)
        path.write_bytes(len(content).to_bytes(8, "little") + content + before[8 + length :])
        renew_checksums(folder)
        refused += isinstance(outcome(folder), str)
    assert refused > 40


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"7", b'"x"', b"[" * 100_000, b"\xff\xfe{}", b'{"a": NaN}'])
@pytest.mark.parametrize("file", [*JSON_FILES, "checksums.json"])
def test_each_file_with_no_content_or_another_one_is_refused_by_name(folder, file, content):
    (folder / file).write_bytes(content)
    if file != "checksums.json":
        renew_checksums(folder)
    result = outcome(folder)
    assert isinstance(result, str) and (file in result or "tokenizer in" in result)


@pytest.mark.parametrize("file", JSON_FILES)
@pytest.mark.parametrize("depth", [60, 300, 900])
def test_nesting_that_json_can_read_ends_in_predictions_or_in_one_message(folder, file, depth):
    content = json.loads((folder / file).read_text())
    nested = "[" * depth + "]" * depth
    (folder / file).write_text(json.dumps({**content, "deep": 0}).replace('"deep": 0', f'"deep": {nested}'))
    renew_checksums(folder)
    assert file == "tokenizer/tokenizer.json" or "nested" in outcome(folder)
    outcome(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**6),
        ("hidden_size", 2**17),
        ("intermediate_size", 2**25),
        ("vocab_size", 2**30),
        ("max_position_embeddings", 2**30),
        ("num_attention_heads", 10**9),
        ("type_vocab_size", 2**20),
        ("hidden_size", -16),
        ("vocab_size", 10**400),
    ],
)
def test_a_configuration_out_of_bounds_takes_no_memory(folder, monkeypatch, key, value):
    content = json.loads((folder / "config.json").read_text())
    content["backbone"][key] = value
    (folder / "config.json").write_text(json.dumps(content))
    renew_checksums(folder)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("memory was taken"))
    with pytest.raises(ModelError, match=f"config.json: {key} is"):
        SparseCBM.from_pretrained(folder)


def test_sizes_within_bounds_that_the_weights_do_not_have_take_no_memory(folder, monkeypatch):
    """64,000 x 500,000 weights would take 128 GB for each of two maps."""
    content = json.loads((folder / "config.json").read_text())
    content["backbone"] |= {"hidden_size": 64_000, "intermediate_size": 500_000, "num_hidden_layers": 200}
    (folder / "config.json").write_text(json.dumps(content))
    renew_checksums(folder)
    with pytest.raises(ModelError, match=r"model\.safetensors does not fit config\.json"):
        SparseCBM.from_pretrained(folder)


def test_sizes_that_the_weights_of_a_backbone_do_not_have_take_no_memory(backbone, tmp_path):
    copied = Path(shutil.copytree(backbone, tmp_path / "backbone"))
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**content, "hidden_size": 64_000, "num_hidden_layers": 100}))
    with pytest.raises(ModelError, match=r"describes .* weights, but the files of weights have"):
        load_backbone(str(copied))
    (copied / "config.json").write_text(json.dumps({**content, "num_hidden_layers": 4}))
    with pytest.raises(ModelError, match=r"the weights in .* lack encoder.layer.2"):
        load_backbone(str(copied))


CODE = "open(__file__ + '.ran', 'w').write('x')\nfrom transformers import PreTrainedTokenizerFast\n"
MAPS = {
    "tokenizer/tokenizer_config.json": {
        "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
        "tokenizer_class": "Evil",
    },
    "config.json": {"auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}},
    "tokenizer/config.json": {"auto_map": {"AutoConfig": "evil.Evil"}, "model_type": "evil"},
}


@pytest.fixture
def no_question(monkeypatch):
    """Fail if anybody is asked a question."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))


@pytest.mark.usefixtures("no_question")
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("file", MAPS)
def test_a_model_folder_that_asks_to_run_code_is_refused(folder, file, nested):
    path = folder / file
    content = json.loads(path.read_text()) if path.is_file() else {}
    if file == "config.json":
        content["backbone"] |= MAPS[file]
    else:
        content |= {"inner": [MAPS[file]]} if nested else MAPS[file]
    path.write_text(json.dumps(content))
    (path.parent / "evil.py").write_text(CODE + "class Evil(PreTrainedTokenizerFast): pass\n")
    renew_checksums(folder)
    with pytest.raises(ModelError, match="asks to run code of its own"):
        SparseCBM.from_pretrained(folder)
    assert not list(folder.rglob("*.ran"))


@pytest.mark.usefixtures("no_question")
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_backbone_folder_that_asks_to_run_code_is_refused(backbone, tmp_path, file):
    copied = Path(shutil.copytree(backbone, tmp_path / "backbone"))
    content = json.loads((copied / file).read_text())
    maps = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    (copied / file).write_text(json.dumps({**content, "auto_map": maps}))
    (copied / "evil.py").write_text(CODE + "class Evil(PreTrainedTokenizerFast): pass\n")
    with pytest.raises(ModelError, match="asks to run code of its own"):
        load_backbone(str(copied))
    assert not list(copied.rglob("*.ran"))


@pytest.mark.usefixtures("no_question")
def test_transformers_is_told_never_to_trust_code(folder, backbone, monkeypatch):
    """The check of our own is not the only one: every loader of transformers gets `trust_remote_code=False`."""
    from transformers import AutoModel, AutoTokenizer

    told = []
    for loader, name in (
        (AutoModel, "from_pretrained"),
        (AutoModel, "from_config"),
        (AutoTokenizer, "from_pretrained"),
    ):
        original = getattr(loader, name)

        def spy(*arguments, original=original, **options):
            told.append(options.get("trust_remote_code"))
            return original(*arguments, **options)

        monkeypatch.setattr(loader, name, spy)
    SparseCBM.from_pretrained(folder)
    load_backbone(str(backbone))
    assert len(told) >= 5 and all(value is False for value in told)


def _link(path):
    path.symlink_to("/etc/hostname")


def _socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


ENTRIES = {"a link": _link, "a pipe": os.mkfifo, "a socket": _socket}


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("name", ["config.json", "extra.json", "tokenizer/tokenizer.json", "checksums.json"])
def test_links_pipes_and_sockets_are_refused_before_they_are_read(folder, monkeypatch, kind, name):
    monkeypatch.chdir(folder)  # the path of a socket must be short
    Path(name).unlink(missing_ok=True)
    ENTRIES[kind](Path(name))
    with pytest.raises(ModelError, match=f"{name} is {kind}"):
        SparseCBM.from_pretrained(Path("."))


@pytest.mark.parametrize("kind", ENTRIES)
def test_links_pipes_and_sockets_in_a_backbone_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(write_backbone(tmp_path / "backbone"))
    Path("config.json").unlink()
    ENTRIES[kind](Path("config.json"))
    with pytest.raises(ModelError, match=f"config.json is {kind}"):
        load_backbone(".")


def test_a_device_is_refused(folder, monkeypatch):
    """Making a device needs a privilege, so the kind of an entry is faked."""
    real = Path.lstat

    def lstat(path):
        found = real(path)
        return os.stat_result((0o020666, *found[1:])) if path.name == "concepts.json" else found

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(ModelError, match=r"concepts\.json is a device"):
        SparseCBM.from_pretrained(folder)


def test_a_tokenizer_that_knows_few_words_is_refused(folder):
    path = folder / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"] = {token: n for token, n in content["model"]["vocab"].items() if n < 6}
    path.write_text(json.dumps(content))
    renew_checksums(folder)
    assert "so it belongs to another model" in outcome(folder)
