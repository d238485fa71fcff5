"""Several versions of one transformer block, each for some of the rows.

Every block of a backbone keeps its number in the list. So each branch receives what the backbone passes to the block of
that number: ModernBERT and Gemma 3 give local and global blocks different attention masks and positions.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsecbm.model.routing import BlockOutput, current_route, run_rows


class BranchedBlock(nn.Module):
    """Replaces a block. A subclass says in `forward` which rows each branch runs.

    Args:
        branches: versions of the block
    """

    def __init__(self, branches: Iterable[nn.Module]):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def __getattr__(self, name: str) -> Any:
        """Other attributes are those of the block, for backbones that look at them (ModernBERT's `attention_type`)."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "branches":  # not set yet
                raise
            return getattr(self.branches[0], name)


class ConceptBlock(BranchedBlock):
    """One version of a block for each concept; the route says which rows go through which.

    Args:
        branches: in the order of the concepts
        first: whether it is the first such block, which gets the batch itself; later ones get the routed rows
    """

    def __init__(self, branches: Iterable[nn.Module], first: bool):
        super().__init__(branches)
        self.first = first

    def forward(self, hidden: Tensor, *args: object, **kwargs: object) -> BlockOutput:
        """Hidden states of the batch or of the routed rows -> of the routed rows, [routed, tokens, hidden]."""
        route = current_route("a compact backbone")
        rows = [route.rows[start:stop] for _, start, stop in route.segments]
        inputs = [hidden[part] for part in rows] if self.first else hidden.split([len(part) for part in rows])
        outputs = [
            run_rows(self.branches[concept], states, part, route.batch, args, kwargs)
            for (concept, _, _), states, part in zip(route.segments, inputs, rows, strict=True)
        ]
        return join_outputs(outputs)


def join_outputs(outputs: Sequence[BlockOutput]) -> BlockOutput:
    """The rows of several branches, one after another. A block may return a tuple that begins with its states."""
    if len(outputs) == 1:
        return outputs[0]
    if isinstance(outputs[0], tuple):
        return (torch.cat([output[0] for output in outputs]), *outputs[0][1:])
    return torch.cat(outputs)  # type: ignore[arg-type]
