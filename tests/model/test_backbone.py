"""Every family of backbones, and names without a backbone."""

import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ModelError
from sparsecbm.model import hub
from sparsecbm.model.backbone import hidden_size, load_backbone
from tests.support.tiny_models import DECODERS, FAMILIES, tiny_model, write_backbone

TEXTS = ["the food was good", "we came again and the service was slow but the place was pretty", "bad"]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_predicts_saves_and_loads(family, tmp_path):
    model = tiny_model(write_backbone(tmp_path / "backbone", family), pooling="mean")
    assert hidden_size(model.backbone) == (12 if family == "opt" else 16)
    predictions = model.predict(TEXTS)
    model.save_pretrained(tmp_path / "model")
    assert SparseCBM.from_pretrained(tmp_path / "model").predict(TEXTS) == predictions


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "last_token"])
def test_the_logits_of_a_text_do_not_depend_on_padding(family, pooling, tmp_path):
    model = tiny_model(write_backbone(tmp_path / "backbone", family), pooling=pooling)
    alone = model.logits(TEXTS[:1])
    beside = model.logits(TEXTS)
    for name in alone.concepts:
        assert torch.allclose(torch.tensor(alone.concepts[name][0]), torch.tensor(beside.concepts[name][0]), atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_without_a_pad_token_pads_with_its_end_token(family, tmp_path):
    _, tokenizer = load_backbone(str(write_backbone(tmp_path / "backbone", family)))
    assert tokenizer.pad_token == tokenizer.eos_token == "[SEP]"
    assert tokenizer.padding_side == "right"


def test_the_error_names_a_folder_without_weights(tmp_path):
    folder = write_backbone(tmp_path / "backbone")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"backbone has no weights"):
        load_backbone(str(folder))


def test_the_error_names_a_missing_folder(tmp_path):
    with pytest.raises(ModelError, match="there is no folder"):
        load_backbone(str(tmp_path / "nowhere"))


def test_the_error_for_an_unavailable_hub_name_says_what_to_do(capfd):
    with pytest.raises(ModelError, match=r"there is no folder .*HF_HUB_OFFLINE is set.*Give a hub name"):
        load_backbone("nobody/has-this-model")
    assert "etry" not in "".join(capfd.readouterr())


def test_the_revision_is_passed_to_the_hub_and_its_fault_is_one_message(monkeypatch):
    arguments = {}

    def remember(name, revision=None, **_):
        arguments.update(name=name, revision=revision)
        raise OSError("no network\nand a second line")

    monkeypatch.setattr(hub, "snapshot_download", remember)
    with pytest.raises(ModelError, match=r"someone/model@abc123: the hub at .* failed: no network\. Give a hub name"):
        load_backbone("someone/model@abc123")
    assert arguments == {"name": "someone/model", "revision": "abc123"}


def test_a_snapshot_of_the_hub_is_loaded_through_its_links(monkeypatch, tmp_path):
    """The hub's cache holds each file once, below `blobs`; a link that leads elsewhere is refused."""
    source = write_backbone(tmp_path / "source")
    snapshot = tmp_path / "hub" / "snapshots" / "abc123"
    blobs = tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(source.iterdir())):
        file.rename(blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **_: str(snapshot))
    assert load_backbone("someone/model")[1].get_vocab()["food"] == 5
    assert load_backbone(str(snapshot))[0].config.model_type == "bert"
    (snapshot / "added_tokens.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ModelError, match=r"added_tokens\.json is a link"):
        load_backbone("someone/model")


def test_a_folder_with_adapters_of_peft_is_refused_since_they_name_other_weights(tmp_path):
    write_backbone(tmp_path)
    load_backbone(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "another-model"}')
    with pytest.raises(ModelError, match=r"has adapters of peft \(adapter_config.json\); merge them"):
        load_backbone(str(tmp_path))
