"""Families of backbones: each is trained, pruned, explained, patched and saved, or refused when it is loaded."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.api.options import FitOptions
from sparsecbm.api.training import fit, prune
from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.intervene.patches.make import make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.model.cbm import Settings
from sparsecbm.model.compact import compact, unfold
from sparsecbm.model.masked import needs_separate_passes, prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from tests.support.tiny_models import CONCEPTS, DEEP_FAMILIES, TEXTS, batch_of, run_copies, write_backbone
from tests.support.tiny_tables import annotated

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"
WITHOUT_UNITS = {"deberta-v2", "mobilebert", "gpt_neox"}
REFUSED = {
    "albert": ({"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}, "one block that runs many times"),
    "xlnet": ({"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}, "lay the tokens before the texts"),
    "t5": ({"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}, "an encoder and a decoder"),
    "bart": (
        {
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
        },
        "an encoder and a decoder",
    ),
}
SETTINGS = Settings(max_length=16)


def table():
    frame = annotated(16, 1)
    return frame.rename(columns={"concept.food": "food", "concept.noise": "noise"})[["text", "label", "food", "noise"]]


def enlarge(model):
    """Give the model large random weights: with those of a fresh one, a wrong route would hardly show."""
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in prunable_layers(model.backbone).values():
            module.weight.copy_(0.4 * torch.randn(module.weight.shape, generator=draw))
    return model


def whole_units(model):
    """Return masks of blocks 2 and 3 that keep half of the heads and neurons, other ones for each concept."""
    shapes = {name: tuple(m.weight.shape) for name, m in prunable_layers(model.backbone, masked_from=2).items()}
    masks = {}
    for index, name in enumerate(model.concept_set.names):
        masks[name] = {}
        for group in find_units(model.backbone):
            if group.layers[0] in shapes:
                numbers = torch.arange(group.count)
                masks[name] |= group.masks(numbers % 2 == index if group.count > 1 else numbers == 0, shapes)
    return MaskSet.from_masks(masks)


@pytest.mark.parametrize("family", DEEP_FAMILIES)
def test_a_family_goes_through_all_steps(family, tmp_path):
    folder = str(write_backbone(tmp_path / "backbone", family, **DEEP_FAMILIES[family]))
    few = {"epochs": 1, "batch_size": 8, "device": "cpu", "precision": "float32"}
    dense = fit(table(), ["food", "noise"], options=FitOptions(backbone=folder, settings=SETTINGS), **few)
    sparse = prune(dense, table(), events=2, distill=0.0, head_distill=0.0, **few)
    assert {mask.name: mask.density < 0.9 for mask in sparse.masks} == {"food": True, "noise": True}

    enlarge(sparse)
    ids, mask = batch_of(sparse)
    plain = dense  # the same weights without masks
    plain.load_state_dict(sparse.state_dict())
    expected = run_copies(plain, sparse.masks, ids, mask)
    with torch.no_grad():
        read = sparse(ids, mask).concept_logits
        words = sparse.backbone.get_input_embeddings()(ids)
        from_words = sparse.concept_heads(sparse.represent(words, mask))
        for name, logits in expected.items():
            torch.testing.assert_close(read[name], logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(from_words[name], logits, atol=1e-4, rtol=1e-4)
            assert not torch.allclose(plain(ids, mask).concept_logits[name], logits, atol=1e-2)
            if not needs_separate_passes(sparse.backbone):
                torch.testing.assert_close(unfold(sparse)(ids, mask).concept_logits[name], logits, atol=1e-4, rtol=1e-4)

    # The value that words are scored for is that of the model: the logit minus the mean of the states.
    explained = sparse.explain(TEXTS[0], method="mid_path_gradients", options=AttributionOptions(steps=2))
    logits = sparse.logits(TEXTS[0]).concepts
    for name, concept in explained.concepts.items():
        state = sparse.concept_set[name].index(concept.state)
        assert state == int(logits[name].argmax())
        assert np.isfinite(concept.words.scores).all() and np.any(concept.words.scores)
        assert (concept.subnetwork.note is None) == (family not in WITHOUT_UNITS)

    sparse.save_pretrained(tmp_path / "model")
    loaded = SparseCBM.from_pretrained(tmp_path / "model")
    assert loaded.predict(TEXTS) == sparse.predict(TEXTS)

    wrong = 1 - sparse.concept_set["noise"].index(sparse.predict(TEXTS[0]).concepts["noise"].state)
    patch = make_patch(loaded, TEXTS[0], "noise", ("loud", "quiet")[wrong], PatchOptions(budget=4000))
    with loaded.patched(patch):
        assert loaded.predict(TEXTS[0]).concepts["noise"].state == ("loud", "quiet")[wrong]

    if family in WITHOUT_UNITS:
        with pytest.raises(ModelError, match=r"heads and neurons of .* are not known"):
            sparse.compact()
        return
    cut = whole_units(plain)
    expected = run_copies(plain, cut, ids, mask)
    plain.masks = cut
    with torch.no_grad():
        for name, logits in compact(plain)(ids, mask).concept_logits.items():
            torch.testing.assert_close(logits, expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_cannot_be_a_backbone_is_refused_when_it_is_loaded(family, tmp_path):
    sizes, reason = REFUSED[family]
    folder = write_backbone(tmp_path / "backbone", family, vocab_size=40, **sizes)
    with pytest.raises(ModelError, match=rf"config\.json: a {family} .*{reason}.*docs/backbones\.md"):
        SparseCBM.build(str(folder), CONCEPTS, SETTINGS)


def test_the_page_lists_what_these_tests_show():
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (yes|no) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {name: "no" if name in WITHOUT_UNITS else "yes" for name in DEEP_FAMILIES}
    for family in REFUSED:
        assert f"`{family}`" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("family", "most"),
    [("bert", 64), ("roberta", 63), ("gpt2", 1024), ("opt", 2048), ("llama", 64), ("modernbert", 8192)],
)
def test_more_tokens_than_positions_are_refused_with_the_most_that_works(family, most, tmp_path):
    """RoBERTa with the pad token 0 counts positions from 1 on, so one of its 64 rows is never a token's."""
    folder = str(write_backbone(tmp_path / "backbone", family, **DEEP_FAMILIES[family]))
    assert SparseCBM.build(folder, CONCEPTS, Settings(max_length=most)).settings.max_length == most
    with pytest.raises(ConfigError, match=f"model.max_length: {most + 1} is above the positions.*set it to {most} at"):
        SparseCBM.build(folder, CONCEPTS, Settings(max_length=most + 1))
