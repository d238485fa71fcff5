"""A pruning event: scores equal those of a dense inverse, and masks have exactly the target sparsity."""

import warnings

import pytest
import torch

from sparsecbm.base.errors import DegenerateSaliencyWarning
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.units import find_units
from sparsecbm.pruning.event import choose_masks, score_weights
from sparsecbm.pruning.gradients import stream_gradients
from sparsecbm.train.examples import build_batch, build_examples
from tests.support.prune_settings import pruning
from tests.support.small_masks import dense_masks, random_scores
from tests.support.tiny_models import random_masks, tiny_model, write_backbone
from tests.support.tiny_tables import annotated


@pytest.fixture
def batches(model):
    data = build_examples(annotated(24, seed=0), model)
    return [build_batch(data, range(i, i + 2), model.tokenizer.pad_token_id, model.device) for i in range(0, 24, 2)]


def dense_inverse(gradients, block, damping):
    """Return diag(F^-1) from the whole matrix F, with zeros between blocks."""
    gradients = gradients.double()
    n = gradients.shape[1]
    block_of = torch.arange(n) // block
    fisher = (gradients.T @ gradients / len(gradients)) * (block_of[:, None] == block_of)
    return torch.linalg.inv(fisher + damping * torch.eye(n, dtype=torch.float64)).diagonal()


def test_obert_equals_a_dense_inverse_of_the_gradients_of_the_concept(model, batches):
    model.masks = random_masks(model, density=0.7)
    params = pruning(saliency="obert", block=50, damping=1e-12)
    scored = score_weights(model, params, batches, seed=0)
    for name, other in (("food", "noise"), ("noise", "food")):
        for layer, gradients in stream_gradients(model, name, batches, memory_mb=10):
            weights = prunable_layers(model.backbone)[layer].weight.detach().double()
            expected = weights**2 / (2 * dense_inverse(gradients, 50, 1e-12).view_as(weights))
            torch.testing.assert_close(scored.scores[name][layer].double(), expected, rtol=1e-4, atol=0)
            assert not torch.allclose(scored.scores[other][layer].double(), expected, rtol=1e-2, atol=0)
            one_block = weights**2 / (2 * dense_inverse(gradients, weights.numel(), 1e-12).view_as(weights))
            assert not torch.allclose(one_block, expected, rtol=1e-2, atol=0)


def test_only_a_damping_above_the_gradients_gives_a_warning(model, batches):
    model.masks = dense_masks(model)
    with pytest.warns(DegenerateSaliencyWarning) as warned:
        damped = score_weights(model, pruning(saliency="obert", damping=1e6), batches, seed=0)
    assert [str(warning.message).split(":")[0] for warning in warned] == ["concept 'food'", "concept 'noise'"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        free = score_weights(model, pruning(saliency="obert", damping=1e-10), batches, seed=0)
        magnitudes = score_weights(model, pruning(saliency="magnitude"), [], seed=0)
    for name in ("food", "noise"):
        assert free.correlations[name] < 0.95 < 0.999 < damped.correlations[name] <= 1
    assert magnitudes.correlations == {}  # magnitude ranks like itself by definition


def test_random_scores_differ_by_concept_and_magnitudes_do_not(model):
    model.masks = dense_masks(model)
    random = score_weights(model, pruning(saliency="random"), [], seed=0).scores
    masks = choose_masks(model, pruning(), random, 0.5)
    kept_by_both = torch.cat([(masks["food"][layer] & masks["noise"][layer]).view(-1) for layer in masks.shapes])
    assert kept_by_both.float().mean().item() == pytest.approx(0.25, abs=0.03)  # 4096 weights: .25 +- .007
    magnitude = score_weights(model, pruning(saliency="magnitude"), [], seed=0).scores
    same = choose_masks(model, pruning(), magnitude, 0.5)
    assert same.core().density == same.union().density == 0.5
    other = score_weights(model, pruning(saliency="random"), [], seed=1).scores
    assert choose_masks(model, pruning(), other, 0.5) != masks


@pytest.mark.parametrize("threshold", ["layer", "global"])
@pytest.mark.parametrize("core", [0.0, 0.4])
def test_unstructured_masks_are_exact_and_nested(model, threshold, core):
    model.masks = dense_masks(model)
    params = pruning(threshold=threshold, core=core)
    for event, sparsity in enumerate((0.0, 0.25, 0.75)):
        before = model.masks
        model.masks = choose_masks(model, params, random_scores(model, event), sparsity)
        for mask in model.masks:
            assert mask.density == 1 - sparsity
            by_layer = set(mask.density_by_layer().values())
            assert by_layer == {1 - sparsity} if threshold == "layer" or not sparsity else len(by_layer) > 1
            assert not any((kept & ~before[mask.name][layer]).any() for layer, kept in mask.items())
        assert model.masks.core().density >= core * (1 - sparsity)
    regrown = choose_masks(model, params, random_scores(model, 9), 0.75, regrow=True)
    assert any((kept & ~model.masks["food"][layer]).any() for layer, kept in regrown["food"].items())


def test_n_of_m_drops_whole_weights_along_the_inputs(model):
    """Scores are the columns' numbers, so the last inputs of each four stay: 4:4, then 3:4, then 2:4."""
    model.masks = dense_masks(model)
    params = pruning(granularity="2:4")
    scores = {
        name: {layer: torch.arange(shape[1]).float().expand(shape) for layer, shape in model.masks.shapes.items()}
        for name in model.concept_set.names
    }
    for sparsity, pattern in ((0.0, [1, 1, 1, 1]), (0.3, [0, 1, 1, 1]), (0.5, [0, 0, 1, 1])):
        model.masks = choose_masks(model, params, scores, sparsity)
        for mask in model.masks:
            assert mask.density == sum(pattern) / 4
            for kept in mask.values():
                assert torch.equal(kept.view(-1, 4).int(), torch.tensor(pattern).int().expand(kept.numel() // 4, 4))


def test_the_inputs_of_a_conv1d_are_its_rows(tmp_path):
    """GPT-2 stores weights as [in, out]; a 2:4 product needs two zeros in each four inputs."""
    model = tiny_model(write_backbone(tmp_path / "gpt2", "gpt2"))
    model.masks = dense_masks(model)
    masks = choose_masks(model, pruning(granularity="2:4"), random_scores(model), 0.5)
    for mask in masks:
        for layer, kept in mask.items():
            assert (kept.T.reshape(-1, 4).sum(1) == 2).all(), layer
            assert not (kept.reshape(-1, 4).sum(1) == 2).all(), layer


@pytest.mark.parametrize(("threshold", "regrow"), [("layer", False), ("global", False), ("layer", True)])
def test_structured_masks_keep_whole_units(model, threshold, regrow):
    """A block has 2048 weights: two heads of 512 and 32 neurons of 32. A quarter is one head or 16 neurons."""
    model.masks = dense_masks(model)
    params = pruning(granularity="structured", threshold=threshold)
    dropped = {}
    for event, sparsity in enumerate((0.25, 0.625)):
        before = model.masks
        model.masks = choose_masks(model, params, random_scores(model, event), sparsity, regrow)
        for mask in model.masks:
            assert mask.density == 1 - sparsity
            kept = [group.kept(mask) for group in find_units(model.backbone)]  # raises an error if a mask cuts a unit
            assert all(units.any() for units in kept)
            dropped[mask.name] = [(~units).nonzero().tolist() for units in kept]
            came_back = any((bits & ~before[mask.name][layer]).any() for layer, bits in mask.items())
            assert came_back == (regrow and event == 1)
    assert dropped["food"] != dropped["noise"]
