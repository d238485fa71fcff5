"""MixUp by hand: one share for pooled texts, concept targets and labels; training with it repeats and resumes."""

import numpy as np
import pytest
import torch

from sparsecbm.base.params import LabelNoise
from sparsecbm.model.cbm import Output
from sparsecbm.train.examples import Batch, build_batch, build_examples
from sparsecbm.train.loss import ClassWeights, mode_losses
from sparsecbm.train.mixup import Mixture, draw_mixture, mixed_forward
from sparsecbm.train.modes import fit
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run

MIXTURE = Mixture(torch.tensor([1, 2, 0]), 0.75)
NOISE = LabelNoise(mixup=0.4)


def test_values_are_mixed_with_those_of_the_partner():
    mixed = MIXTURE.mix(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    assert mixed.tolist() == [[0.75, 0.25], [0.0, 0.75], [0.25, 0.0]]


def test_pooled_texts_targets_and_labels_get_the_same_share(backbone):
    model = tiny_model(backbone, dropout=0.0).eval()
    data = build_examples(annotated(3, 1), model)
    batch = build_batch(data, [0, 1, 2], model.tokenizer.pad_token_id, model.device)
    output, mixed = mixed_forward(model, batch, MIXTURE)
    pooled = model.represent(batch.ids, batch.mask)["food"]
    by_hand = torch.stack([0.75 * pooled[i] + 0.25 * pooled[j] for i, j in ((0, 1), (1, 2), (2, 0))])
    torch.testing.assert_close(output.concept_logits["food"], model.concept_heads.head("food")(by_hand))
    assert mixed.label.tolist() == MIXTURE.mix(batch.label).tolist()
    assert mixed.concepts["noise"].tolist() == MIXTURE.mix(batch.concepts["noise"]).tolist()
    unmixed = mixed_forward(model, batch, Mixture(torch.tensor([1, 2, 0]), 1.0))[0]
    torch.testing.assert_close(unmixed.label_logits, model(batch.ids, batch.mask).label_logits)


def test_a_partner_without_a_state_adds_nothing_to_the_loss():
    """Only the known target of the pair counts, with its share as its weight."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    batch = Batch(torch.zeros(2, 1), torch.ones(2, 1), torch.zeros(2, 2), {"food": torch.tensor([[1.0, 0], [0, 0]])})
    pair = Mixture(torch.tensor([1, 0]), 0.75)
    mixed = Batch(batch.ids, batch.mask, batch.label, {"food": pair.mix(batch.concepts["food"])})
    loss = mode_losses(Output({"food": logits}, {}, logits), mixed, "sequential", 1.0, ClassWeights()).total
    by_row = -logits.log_softmax(-1)[:, 0]
    assert loss.item() == pytest.approx((0.75 * by_row[0] + 0.25 * by_row[1]).item())


def test_shares_are_from_the_beta_distribution():
    torch.manual_seed(0)
    shares = np.array([draw_mixture(4, 0.4).share for _ in range(1000)])
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), abs=0.015)
    assert sorted(draw_mixture(4, 0.4).partner.tolist()) == [0, 1, 2, 3]


def test_mixing_changes_training_and_repeats(backbone, tmp_path):
    weights = []
    for number, noise in enumerate((LabelNoise(), NOISE, NOISE)):
        model = tiny_model(backbone)
        run = training_run(tmp_path / str(number), seed=3)
        fit(model, annotated(24, 1), annotated(12, 2), finetuning(epochs=1, noise=noise), run)
        weights.append(copy_weights(model))
    assert not equal_weights(weights[0], weights[1]) and equal_weights(weights[1], weights[2])


class KilledError(Exception):
    pass


def test_a_mixed_training_resumes_to_the_same_bytes(backbone, tmp_path):
    params = finetuning(epochs=2, batch_size=4, accumulate=2, checkpoint_seconds=0.0, noise=NOISE)
    data = annotated(80, 1), annotated(12, 2), params
    uninterrupted = tiny_model(backbone)
    fit(uninterrupted, *data, training_run(tmp_path / "whole", seed=5))

    def kill(step, figures):
        if step >= 10:
            raise KilledError

    with pytest.raises(KilledError):
        fit(tiny_model(backbone), *data, training_run(tmp_path / "cut", 5, kill))
    resumed, steps = tiny_model(backbone), []
    fit(resumed, *data, training_run(tmp_path / "cut", 5, lambda step, figures: steps.append(step)))
    assert equal_weights(copy_weights(uninterrupted), copy_weights(resumed))
    assert steps[0] >= 10, "it must resume, not start again"


def test_a_black_box_is_not_mixed(backbone, tmp_path):
    weights = []
    for number, noise in enumerate((LabelNoise(), NOISE)):
        model = tiny_model(backbone, mode="standard")
        params = finetuning(epochs=1, noise=noise)
        fit(model, annotated(16, 1), annotated(8, 2), params, training_run(tmp_path / str(number)))
        weights.append(copy_weights(model))
    assert equal_weights(*weights)
