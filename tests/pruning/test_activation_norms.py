"""Norms of inputs equal those of a dense copy with multiplied weights, token by token, without padding."""

import copy

import pytest
import torch

from sparsecbm.pruning.activation_norms import stream_activation_norms
from sparsecbm.pruning.event import score_weights
from sparsecbm.train.examples import build_batch, build_examples
from tests.support.prune_settings import pruning
from tests.support.tiny_models import random_masks, tiny_model, write_backbone
from tests.support.tiny_tables import annotated


@pytest.mark.parametrize("family", ["bert", "gpt2", "opt", "llama"])
def test_scores_are_weights_times_norms_of_their_inputs(family, tmp_path):
    model = tiny_model(write_backbone(tmp_path / family, family))
    frame = annotated(4, seed=0)
    frame.loc[1, "text"] = "slow service"  # shorter than the others, so it is padded
    data = build_examples(frame, model)
    batches = [build_batch(data, rows, model.tokenizer.pad_token_id, model.device) for rows in ((0, 1), (2, 3))]
    assert not batches[0].mask.all()
    dense = copy.deepcopy(model)
    model.masks = random_masks(model)
    expected = {}
    for layer, kept in model.masks["noise"].items():
        module = dense.backbone.get_submodule(layer)
        module.weight.data *= kept
        module.register_forward_hook(
            lambda _, inputs, __, layer=layer: expected.setdefault(layer, []).append(inputs[0].flatten(0, -2))
        )
    with torch.no_grad():
        for row in range(4):  # one text at a time, so nothing is padded
            alone = build_batch(data, [row], model.tokenizer.pad_token_id, model.device)
            dense(alone.ids, alone.mask)
    norms = dict(stream_activation_norms(model, "noise", batches))
    scores = score_weights(model, pruning(saliency="activation_norm"), batches, seed=0).scores["noise"]
    for layer, inputs in expected.items():
        by_input = torch.cat(inputs).norm(dim=0)
        weight = model.backbone.get_submodule(layer).weight
        matrix = (by_input[:, None] if family == "gpt2" else by_input[None]).expand(weight.shape)
        torch.testing.assert_close(norms[layer], matrix.reshape(1, -1), atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(scores[layer], weight.detach().abs() * matrix, atol=1e-4, rtol=1e-3)
    assert norms.keys() == expected.keys()
