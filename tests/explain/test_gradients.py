"""Gradients of all texts and concepts together, compared with captum for one text and one concept."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency

from sparsecbm.explain.attribution import attribute, attribute_label
from sparsecbm.explain.gradients import gauss_legendre
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.subject import ExplainedValue
from sparsecbm.explain.words import tokenize_words
from tests.support.linear_model import linear_model
from tests.support.tiny_models import random_masks, tiny_model, with_large_weights, write_backbone
from tests.support.tiny_tables import annotated

TEXTS = ["the food was good", "slow", "a loud place but we came again and the food was bad"]
STEPS = 6
FIXED = AttributionOptions(steps=STEPS, max_steps=STEPS)


@pytest.fixture(params=["bert", "gpt2", "llama"])
def masked(request, tmp_path):
    model = tiny_model(write_backbone(tmp_path / request.param, request.param))
    torch.nn.init.normal_(model.concept_heads.head("food").weight)  # so that scores are far above rounding errors
    model.masks = random_masks(model, masked_from=1)
    return model


def ends(model, text):
    """Return the embeddings of a text with and without its words."""
    embed, ids = model.backbone.get_input_embeddings(), torch.tensor([text.ids])
    void = torch.where(torch.from_numpy(text.word_indices < 0), ids, model.tokenizer.pad_token_id)
    return embed(ids).detach(), embed(void).detach()


def compute_logits(model, embeddings, name):
    """Return the logits of one concept, by the model's own forward pass under packed masks."""
    rows = {name: torch.arange(len(embeddings))}
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long)
    return model.concept_heads(model.represent(embeddings, mask, rows))[name]


@pytest.mark.parametrize("method", ["integrated_gradients", "mid_path_gradients"])
def test_scores_of_concepts_equal_those_of_captum(masked, method):
    attributions = attribute(masked, TEXTS, method=method, options=FIXED)
    for text, by_concept in zip(tokenize_words(masked.tokenizer, TEXTS, 16), attributions, strict=True):
        end, start = ends(masked, text)
        for name, attribution in by_concept.items():
            index = masked.concept_set[name].index(attribution.state)

            def value(embeddings, name=name, index=index):
                logits = compute_logits(masked, embeddings, name)
                return logits[:, index] - logits.mean(-1)

            if method == "integrated_gradients":
                scores = IntegratedGradients(value).attribute(end, start, n_steps=STEPS)
            else:
                points = [torch.lerp(start, end, at) for at in (0.3, 0.5, 0.7)]
                slopes = [Saliency(value).attribute(point.requires_grad_(), abs=False) for point in points]
                scores = sum(slopes) / 3 * (end - start)
            words, special = text.merged(scores.detach().sum(-1)[0].double().numpy())
            np.testing.assert_allclose(attribution.scores, words, atol=2e-6, rtol=1e-4)
            np.testing.assert_allclose([score for _, score in attribution.special], special, atol=2e-6, rtol=1e-4)
            change = (value(end) - value(start)).item()
            assert attribution.change == pytest.approx(change, abs=1e-5)
            assert attribution.gap == pytest.approx(words.sum() + special.sum() - change, abs=1e-5)


def test_scores_of_the_label_equal_those_of_captum(masked):
    """captum differentiates the label logit with respect to the embeddings, through all concepts."""
    attributions = attribute_label(masked, TEXTS, options=FIXED)
    for text, attribution in zip(tokenize_words(masked.tokenizer, TEXTS, 16), attributions, strict=True):
        end, start = ends(masked, text)
        index = masked.concept_set.label.index(attribution.total.state)

        def value(embeddings, index=index):
            logits = masked.output(
                {name: compute_logits(masked, embeddings, name) for name in ("food", "noise")}
            ).label_logits
            return logits[:, index] - logits.mean(-1)

        scores = IntegratedGradients(value).attribute(end, start, n_steps=STEPS)
        words, _ = text.merged(scores.sum(-1)[0].double().numpy())
        np.testing.assert_allclose(attribution.total.scores, words, atol=2e-6, rtol=1e-4)


def test_rough_paths_get_more_gradients_until_the_gap_is_small():
    """The value is a sigmoid that is almost a step along the path, so a few nodes miss it."""
    model = linear_model("soft", sharpness=60.0)
    with torch.no_grad():
        model.concept_heads.head("food").bias[1] = -60 * 1.2  # halfway from .6 (the baseline) to 1.8 (the text)
    (few,) = attribute_label(model, ["good bad food"], options=FIXED)
    assert abs(few.total.gap) > 0.2 and few.total.steps == STEPS
    options = AttributionOptions(steps=STEPS, tolerance=0.01, max_steps=1000)
    (enough,) = attribute_label(model, ["good bad food"], options=options)
    assert abs(enough.total.gap) <= 0.01 * max(1, abs(enough.total.change)) and enough.total.steps > STEPS
    (capped,) = attribute_label(
        model, ["good bad food"], options=AttributionOptions(steps=STEPS, tolerance=0.01, max_steps=7)
    )
    assert STEPS < capped.total.steps <= 3 * STEPS


@pytest.mark.parametrize("summed", [True, False])
def test_the_gap_of_the_label_is_within_the_tolerance_of_its_own_change(backbone, monkeypatch, summed):
    """Changes of concepts may cancel, so gaps within the tolerance of each do not suffice for their sum."""
    model = with_large_weights(tiny_model(backbone), masked_from=1)
    with torch.no_grad():
        for head in model.concept_heads.heads:
            head.weight.mul_(8)
    monkeypatch.setattr(
        "sparsecbm.explain.attribution.ExplainedValue",
        lambda weights, activation="logits", **_: ExplainedValue(weights, activation, summed),
    )
    options = AttributionOptions(steps=2, tolerance=0.1, max_steps=4096)
    totals = [label.total for label in attribute_label(model, annotated(12, seed=4)["text"].tolist(), options=options)]
    gaps = [abs(total.gap) / max(1, abs(total.change)) for total in totals]
    assert (max(gaps) <= 0.1) == summed
    assert max(total.steps for total in totals) < 4096


def test_every_gap_is_within_the_tolerance_unless_the_bound_is_hit(backbone):
    model = with_large_weights(tiny_model(backbone), masked_from=1)
    texts = annotated(8, seed=4)["text"].tolist()

    def largest_gap(**options):
        attributions = attribute(model, texts, options=AttributionOptions(tolerance=0.002, **options))
        return max(
            abs(each.gap) / max(1, abs(each.change)) for by_concept in attributions for each in by_concept.values()
        )

    assert largest_gap(steps=1, max_steps=4096) <= 0.002 < largest_gap(steps=1, max_steps=1)


def test_quadrature_is_exact_for_polynomials():
    nodes, weights = gauss_legendre(3)
    for power in range(6):
        assert (weights * nodes**power).sum() == pytest.approx(1 / (power + 1))
    assert (weights * nodes**6).sum() != pytest.approx(1 / 7, abs=1e-6)
