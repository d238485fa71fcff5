"""The interface of attributions: numbers by hand, invalid input, and an unchanged model."""

import copy

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.explain.attribution import attribute, attribute_label
from sparsecbm.explain.methods import METHODS, AttributionOptions
from tests.support.linear_model import linear_model
from tests.support.tiny_models import random_masks, tiny_model, write_backbone

TEXT = "good bad food"  # [CLS] good bad food [SEP]: 5 tokens
EVERY = pytest.mark.parametrize("method", METHODS)
FEW = AttributionOptions(steps=4, max_steps=8)


def test_integrated_gradients_by_hand():
    """The centred logit of Positive is (x_0 + 2 x_1) / 2 of the mean; each word adds its part of the mean."""
    (attributions,) = attribute(linear_model(), [TEXT], states={"food": "Positive"})
    result = attributions["food"]
    assert result.words == ("good", "bad", "food") and result.spans == ((0, 4), (5, 8), (9, 13))
    assert result.scores == pytest.approx([(5 - 1) / 10, (-3 + 4 - 1) / 10, (1 + 2 - 1) / 10], abs=1e-6)
    assert result.special == (("[CLS]", 0.0), ("[SEP]", 0.0))
    assert result.change == pytest.approx(0.6, abs=1e-6) and result.gap == pytest.approx(0, abs=1e-6)
    assert (result.concept, result.state, result.steps, result.truncated) == ("food", "Positive", 16, False)


def test_another_state_by_hand_and_the_predicted_state_by_default():
    model = linear_model()  # mean embedding (3, 3) / 5: x_0 + 2 x_1 = 1.8 > 0
    (negative,) = attribute(model, [TEXT], states={"food": "Negative"})
    assert negative["food"].scores == pytest.approx([-0.4, 0, -0.2], abs=1e-6)
    (predicted,) = attribute(model, [TEXT])
    assert predicted["food"].state == "Positive"


def test_baselines_by_hand():
    model = linear_model()
    model.tokenizer.mask_token = "again"  # its embedding is zero
    zero, mask = (
        attribute(model, [TEXT], states={"food": "Positive"}, options=AttributionOptions(baseline=kind))[0]["food"]
        for kind in ("zero", "mask")
    )
    assert zero.scores == pytest.approx([0.5, 0.1, 0.3], abs=1e-6) == mask.scores
    assert (zero.baseline, mask.baseline) == ("zero", "mask")


def test_mid_path_gradients_by_hand():
    """The value is linear, so its gradient is the same all along the path; special tokens stay in the baseline."""
    (attributions,) = attribute(linear_model(), [TEXT], states={"food": "Positive"}, method="mid_path_gradients")
    assert attributions["food"].scores == pytest.approx([0.4, 0, 0.2], abs=1e-6)
    assert [score for _, score in attributions["food"].special] == pytest.approx([0, 0], abs=1e-6)
    assert attributions["food"].steps == 3


def test_leave_one_out_by_hand():
    """Without "good", the mean of four tokens is (-2, 3) / 4."""
    (attributions,) = attribute(linear_model(), [TEXT], states={"food": "Positive"}, method="leave_one_out")
    assert attributions["food"].scores == pytest.approx([0.9 - 0.5, 0.9 - 1.0, 0.9 - 0.75], abs=1e-6)
    assert attributions["food"].steps == 0


def test_the_label_by_hand_through_the_bottleneck():
    """V, centred over the classes, gives class 1 the weights (0, 5): 5 times the logit of "Positive", not centred."""
    (label,) = attribute_label(linear_model("logits"), [TEXT], classes="1")
    assert label.total.scores == pytest.approx([5 * 0.8, 0, 5 * 0.4], abs=1e-5)
    assert label.parts["food"].scores == label.total.scores
    assert (label.total.concept, label.total.state, label.parts["food"].concept) == ("rating", "1", "food")
    assert attribute_label(linear_model("logits"), [TEXT])[0].total.state == "1"  # the predicted class


def test_a_shift_of_all_states_does_not_change_attributions(model):
    """Softmax ignores such a shift, so predictions and attributions stay the same."""
    before = attribute(model, ["the food was good"], options=FEW)[0]["food"]
    with torch.no_grad():
        model.concept_heads.head("food").weight += torch.linspace(-3, 3, 16)
    after = attribute(model, ["the food was good"], options=FEW)[0]["food"]
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-5)
    with torch.no_grad():
        model.concept_heads.head("food").weight[0] += torch.linspace(-3, 3, 16)  # a shift of one state only
    assert not np.allclose(attribute(model, ["the food was good"], options=FEW)[0]["food"].scores, before.scores)


@EVERY
def test_results_do_not_depend_on_other_texts_and_concepts(model, method):
    model.masks = random_masks(model, masked_from=1)
    texts = ["good", "the food was bad but we came again", "", "slow service and a loud place"]
    together = attribute(model, texts, method=method, options=FEW)
    small = AttributionOptions(steps=4, max_steps=8, batch_tokens=1)
    for i, text in enumerate(texts):
        for concept in ("food", "noise"):
            (alone,) = attribute(model, [text], [concept], method=method, options=small)
            assert set(alone) == {concept} and alone[concept].state == together[i][concept].state
            np.testing.assert_allclose(alone[concept].scores, together[i][concept].scores, atol=2e-6)
            np.testing.assert_allclose(
                [score for _, score in alone[concept].special],
                [score for _, score in together[i][concept].special],
                atol=2e-6,
            )


@pytest.mark.parametrize("method", [method for method in METHODS if method != "random"])
def test_each_concept_is_explained_through_its_own_mask(model, method):
    model.masks = random_masks(model)
    states = {"food": "Positive", "noise": "loud"}
    before = attribute(model, ["the food was good"], states=states, method=method, options=FEW)[0]
    model.masks = model.masks.replaced("noise", {layer: ~mask for layer, mask in model.masks["noise"].items()})
    after = attribute(model, ["the food was good"], states=states, method=method, options=FEW)[0]
    assert after["food"].scores == before["food"].scores
    assert not np.allclose(after["noise"].scores, before["noise"].scores, rtol=1e-3)


@EVERY
@pytest.mark.parametrize("masked", [False, True])
def test_the_model_is_not_changed(model, method, masked):
    if masked:
        model.masks = random_masks(model)
    model.train()
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(model)
    attribute(model, ["good food"], method=method, options=FEW)
    attribute_label(model, ["good food"], method=method, options=FEW)
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.backbone.config._attn_implementation == before.backbone.config._attn_implementation
    assert model.masked == masked


@EVERY
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_unusual_texts_have_finite_scores(method, family, tmp_path):
    """Empty texts, special tokens alone, 10,000 words, emojis, right-to-left text, markup."""
    model = tiny_model(write_backbone(tmp_path / family, family))
    texts = ["", " ", "[SEP] [SEP]", "food " * 10_000, "👨‍👩‍👧 👍🏽", "הָאֹכֶל טוב", "<script>alert('food')</script>"]
    for text, attributions in zip(texts, attribute(model, texts, method=method, options=FEW), strict=True):
        for result in attributions.values():
            assert [text[start:end] for start, end in result.spans] == list(result.words)
            assert len(result.scores) == len(result.words)
            assert np.isfinite([*result.scores, result.gap, result.change, *(s for _, s in result.special)]).all()
            assert result.truncated == (len(text) > 1000)
            if not result.words:
                assert result.change == pytest.approx(0, abs=1e-6)
    assert attribute(model, texts[:3], method=method)[2]["food"].words == ()
    assert attribute(model, [], method=method) == []


@EVERY
def test_label_parts_add_up_to_the_total(model, method):
    model.masks = random_masks(model)
    texts = ["the food was good and a loud place", "bad"]
    for label in attribute_label(model, texts, classes=["2", "3"], method=method, options=FEW):
        np.testing.assert_allclose(label.total.scores, np.sum([p.scores for p in label.parts.values()], axis=0))
        assert label.total.gap == pytest.approx(sum(part.gap for part in label.parts.values()))
        assert label.total.special[0][1] == pytest.approx(sum(p.special[0][1] for p in label.parts.values()))
    assert label.total.state == "3" == label.parts["noise"].state


def test_the_error_for_invalid_input_names_the_choices(model):
    text = ["good"]
    with pytest.raises(
        ConfigError, match=r"unknown attribution method 'lime'.*integrated_gradients, mid_path_gradients"
    ):
        attribute(model, text, method="lime")
    with pytest.raises(ConfigError, match=r"unknown concept 'fod'. Did you mean 'food'"):
        attribute(model, text, ["fod"])
    with pytest.raises(ConfigError, match=r"unknown concept 'fod'"):
        attribute(model, text, states={"fod": "Positive"})
    with pytest.raises(ConfigError, match=r"unknown state of 'noise' 'Positive'.*Choices: loud, quiet"):
        attribute(model, text, states={"noise": "Positive"})
    with pytest.raises(ConfigError, match="2 states of 'noise' are given for 1 texts"):
        attribute(model, text, states={"noise": ["loud", "quiet"]})
    with pytest.raises(ConfigError, match=r"unknown state of 'rating' '9'"):
        attribute_label(model, text, classes="9")
    with pytest.raises(TypeError, match="wrap a single text"):
        attribute(model, "good")
    with pytest.raises(ConfigError, match=r"unknown baseline 'blank'.*pad, mask, zero"):
        AttributionOptions(baseline="blank")
    with pytest.raises(ConfigError, match="steps is 0"):
        AttributionOptions(steps=0)
    with pytest.raises(ConfigError, match="tolerance is nan"):
        AttributionOptions(tolerance=float("nan"))
    with pytest.raises(ConfigError, match="no mask token"):
        attribute(model, text, options=AttributionOptions(baseline="mask"))


def test_a_model_without_concepts_is_an_error(backbone):
    with pytest.raises(ModelError, match="mode `standard` has no concepts"):
        attribute(tiny_model(backbone, mode="standard"), ["good"])
