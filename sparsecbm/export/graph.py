"""A model as one graph: the shared blocks once, then a branch for each concept, pooling and heads.

A masked model decides row by row which subnetwork a row goes through. In the graph, every text goes through the branch
of every concept, so the rows of concept k are always the k-th part of the routed rows, and nothing has to be looked up.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from sparsecbm.model.branches import BranchedBlock, join_outputs
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import concept_blocks, weights_after_cut
from sparsecbm.model.execution import Execution, prediction_copy
from sparsecbm.model.masked import find_blocks
from sparsecbm.model.pooling import pool
from sparsecbm.model.routing import BlockOutput


class AllConceptsBlock(BranchedBlock):
    """One version of a block for each concept; each runs all texts of the batch.

    Args:
        branches: in the order of the concepts
        first: whether it is the first such block, which gets the batch itself; later ones get the rows of all concepts
    """

    def __init__(self, branches: Iterable[nn.Module], first: bool):
        super().__init__(branches)
        self.first = first

    def forward(self, hidden: Tensor, *args: object, **kwargs: object) -> BlockOutput:
        """[batch, tokens, hidden] or [concepts * batch, tokens, hidden] -> [concepts * batch, tokens, hidden]."""
        count = len(self.branches)
        inputs = [hidden] * count if self.first else _parts(hidden, count)
        return join_outputs([branch(part, *args, **kwargs) for branch, part in zip(self.branches, inputs, strict=True)])


class PredictionGraph(nn.Module):
    """Token ids in, logits out; a function of tensors alone.

    Args:
        model: dense or masked; it stays as it is

    Raises:
        ModelError: the masks cannot be multiplied out, since the backbone is a DeBERTa.
    """

    def __init__(self, model: ConceptBottleneck):
        super().__init__()
        self.branched = model.masks is not None
        masks = ("multiplied" if weights_after_cut(model) is None else "compact") if self.branched else "packed"
        self.model = prediction_copy(model, Execution(masks, "float32"))
        _, blocks = find_blocks(self.model.backbone)
        for number, block in enumerate(blocks):
            if block in concept_blocks(self.model.backbone):
                blocks[number] = AllConceptsBlock(block.branches, block.first)
        _attend_plainly(self.model.backbone)
        self.eval()

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Logits of a batch.

        Args:
            ids, mask: [batch, tokens], int64; the mask is 0 on padding

        Returns:
            label logits, [batch, classes]; then those of all concepts side by side, [batch, sum of states], if any
        """
        model, names = self.model, self.model.concept_set.names
        states = model.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        if not model.has_bottleneck:
            return (model.direct_head(pool(states, mask, model.settings.pooling)),)
        parts = _parts(states, len(names)) if self.branched else [states] * len(names)
        pooled = {name: pool(part, mask, model.settings.pooling) for name, part in zip(names, parts, strict=True)}
        output = model.output(model.concept_heads(pooled))
        return output.label_logits, torch.cat([output.concept_logits[name] for name in names], -1)


def _attend_plainly(backbone: PreTrainedModel) -> None:
    """Let attention be products and a softmax. The fused form is exported with checks for rows without any token."""
    backbone.set_attn_implementation("eager")
    for module in backbone.modules():  # a branch has a configuration of its own
        if isinstance(getattr(module, "config", None), PretrainedConfig):
            module.config._attn_implementation = "eager"


def _parts(rows: Tensor, count: int) -> list[Tensor]:
    """The rows of each concept, where they follow one another."""
    return list(rows.unflatten(0, (count, -1)).unbind(0))
