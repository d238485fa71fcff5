"""Inference uses eval mode without gradients and restores the earlier mode, even after an error."""

import pytest
import torch

from sparsecbm.model.inference import evaluation_mode, inference_mode


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("mode", "gradients"), [(evaluation_mode, True), (inference_mode, False)])
def test_the_mode_is_restored_even_after_an_error(model, mode, gradients, training):
    model.train(training)
    with pytest.raises(KeyError), mode(model):
        assert not any(module.training for module in model.modules())
        assert torch.is_grad_enabled() == gradients
        raise KeyError
    assert all(module.training == training for module in model.modules())
    assert torch.is_grad_enabled()


def test_results_can_be_used_in_later_gradients(model):
    with inference_mode(model):
        weight = model.label_head.linear.weight * 2
    scale = torch.ones(1, requires_grad=True)
    (weight * scale).sum().backward()
    assert scale.grad.item() == pytest.approx(weight.sum().item())
