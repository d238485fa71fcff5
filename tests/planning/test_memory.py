"""Memory by arithmetic: each part is worked out by hand for a tiny BERT."""

import pytest

from sparsecbm.base.params import Lora
from sparsecbm.planning.memory import DRY_RUN, MEGABYTE, SORTED, WORK, Texts, memory_of_stages
from sparsecbm.planning.saved_tensors import bytes_of_dense_update, bytes_of_masked_update
from tests.support.planned import params_with
from tests.support.tiny_models import tiny_model

TEXTS = Texts(count=100, longest=12)
# Two blocks; in each the attention has 4 maps of 16 x 16 weights, and the feed-forward part 2 of 16 x 32.
IN_A_BLOCK = 4 * 16 * 16 + 2 * 16 * 32


def parts(model, stage, **prune):
    """Return the parts of a stage by name, in bytes."""
    stages = {each.stage: each for each in memory_of_stages(model, params_with(**prune), TEXTS, base=1000)}
    return {part.name: part.size for part in stages[stage].parts}


def test_finetune_keeps_four_numbers_for_each_trained_weight(model):
    parameters = sum(weight.numel() for weight in model.parameters())
    trained = parameters - model.backbone.get_input_embeddings().weight.numel()
    found = parts(model, "finetune", masked_from=0)
    assert found.pop("activations") == bytes_of_dense_update(model, params_with(), 16, 12)
    assert found == {
        "Python, libraries and tables": 1000 + WORK,
        "weights": 4 * parameters,
        "the best trained weights, when they are loaded back": 4 * trained,
        "gradients": 4 * trained,
        "AdamW's moments": 8 * trained,
        "running average": 4 * trained,
    }


def test_with_adapters_only_they_and_the_heads_are_trained(model):
    """A map of a rows and b columns has an adapter of rank 8 with 8 (a + b) numbers; afterwards it is taken off."""
    names = set(dict(model.named_parameters()))
    params = params_with(masked_from=0)
    params = params.model_copy(update={"finetune": params.finetune.model_copy(update={"adapter": "lora"})})
    finetune = memory_of_stages(model, params, TEXTS, base=1000)[0]
    adapters = 2 * (4 * 8 * (16 + 16) + 2 * 8 * (16 + 32))
    heads = sum(weight.numel() for name, weight in model.named_parameters() if not name.startswith("backbone."))
    sizes = {part.name: part.size for part in finetune.parts}
    assert sizes["gradients"] == 4 * (adapters + heads) and sizes["AdamW's moments"] == 8 * (adapters + heads)
    assert set(dict(model.named_parameters())) == names


def test_the_dry_run_counts_where_it_takes_more_than_the_training(model):
    """It has five copies of the masked weights, whatever is trained."""
    params = params_with(masked_from=0)
    light = params.finetune.model_copy(update={"adapter": "lora", "lora": Lora(rank=1), "batch_size": 1})
    finetune = memory_of_stages(model, params.model_copy(update={"finetune": light}), TEXTS, base=1000)[0]
    assert finetune.parts[-1].name == DRY_RUN
    assert sum(part.size for part in finetune.parts[2:]) == 5 * 4 * 2 * IN_A_BLOCK


@pytest.mark.parametrize(
    ("scores", "learnt", "start"), [("full", 2 * IN_A_BLOCK, 0), ("blocks", 2 * 6, 2 * IN_A_BLOCK)]
)
def test_prune_keeps_scores_of_each_concept_and_their_moments(model, scores, learnt, start):
    """One of two blocks has masks. A map of 16 x 16 or 16 x 32 weights is one square of 32 x 32."""
    found = parts(model, "prune", scores=scores, masked_from=1, memory_mb=1e-6)
    assert found["scores"] == 4 * learnt + start
    assert found["gradients and moments of the scores"] == 12 * learnt
    assert found["masks"] == 2 * IN_A_BLOCK // 8
    update = bytes_of_masked_update(model, params_with(masked_from=1), 16, 12) + 4 * IN_A_BLOCK
    assert found["activations and masked weights of an update"] == update


def test_the_first_saliency_counts_where_it_is_the_most(model):
    """A row of all gradients is one backward pass, which keeps its activations besides."""
    found = parts(model, "prune", masked_from=0, gradients=10_000, gradient_batch=3, memory_mb=50)
    gradients = 50 * MEGABYTE + 50 * MEGABYTE // 10_000
    backward = bytes_of_masked_update(model, params_with(masked_from=0), 3, 12)
    assert found["first saliency and its gradients"] == SORTED * 16 * 32 + gradients + backward
    assert "gradients and moments of the scores" not in found  # they come later, when the gradients are gone


def test_common_units_take_a_byte_for_each_weight_at_a_pruning_event(model):
    """With one token and few gradients an event takes the most. Scores are sorted by layer: 16 x 32 weights."""
    found = {}
    for granularity in ("unstructured", "hierarchical"):
        params = params_with(
            masked_from=0, threshold="global", memory_mb=1e-6, scores="blocks", granularity=granularity
        )
        one_text = params.model_copy(update={"finetune": params.finetune.model_copy(update={"batch_size": 1})})
        prune = memory_of_stages(model, one_text, Texts(count=100, longest=1), base=1000)[1]
        found[granularity] = {part.name: part.size for part in prune.parts}["ranks of scores at a pruning event"]
    assert found["unstructured"] == (4 * (2 * 2 + 3) + 2) * 2 * IN_A_BLOCK + SORTED * 16 * 32
    assert found["hierarchical"] == found["unstructured"] + 2 * IN_A_BLOCK


def test_frozen_weights_need_no_moments_and_trained_ones_do(model):
    name = "gradients and moments of the weights"
    parameters = sum(weight.numel() for weight in model.parameters())
    assert name not in parts(model, "prune", masked_from=0)
    assert parts(model, "prune", masked_from=0, weights="trained")[name] == 12 * parameters


def test_a_black_box_has_no_masks(backbone):
    model = tiny_model(backbone, mode="standard")
    assert [stage.stage for stage in memory_of_stages(model, params_with(), TEXTS, 0)] == ["finetune"]


def test_the_largest_part_that_a_parameter_makes_smaller_is_named(model):
    finetune, prune = memory_of_stages(model, params_with(masked_from=0, gradients=10_000, memory_mb=50), TEXTS, 10**9)
    assert finetune.largest.name == "activations" and "finetune.batch_size" in finetune.largest.smaller
    assert prune.largest.smaller == "prune.memory_mb"  # not the process, which nothing makes smaller
