"""A copy of a model that remembers the hidden states with which texts enter a block, and so skips the blocks below it.

It is for many passes over the same texts whose blocks below stay as they are, such as trials of flips in the masks of
upper blocks. States of a text are remembered without padding, so a result may differ from that of the model by
rounding, as it does between two batches.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn

from sparsecbm.base.errors import ModelError
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import call_recorder, find_blocks, first_masked_block
from sparsecbm.model.masked_copy import frozen_copy
from sparsecbm.model.routing import current_route, remove_row_splitter, route_rows, routed

SHARED = -1  # stands for all concepts, where a state is the same for each of them
Key = tuple[int, tuple[int, ...]]  # index of the concept in the mask set, or `SHARED`; token ids


class RememberedStates:
    """Hidden states of texts as they enter a block.

    Attributes:
        block: number of the block
        states: (concept, token ids) -> [tokens, hidden]
    """

    def __init__(self, block: int, states: Mapping[Key, Tensor] | None = None):
        self.block = block
        self.states: dict[Key, Tensor] = dict(states or {})

    def to_tensors(self) -> dict[str, Tensor]:
        """Return everything as four tensors, which safetensors can hold."""
        keys = list(self.states)
        return {
            "concepts": torch.tensor([concept for concept, _ in keys], dtype=torch.int32),
            "lengths": torch.tensor([len(ids) for _, ids in keys], dtype=torch.int32),
            "ids": torch.tensor([token for _, ids in keys for token in ids], dtype=torch.int32),
            "states": torch.cat([self.states[key] for key in keys]) if keys else torch.zeros(0, 0),
        }

    @classmethod
    def from_tensors(cls, block: int, tensors: Mapping[str, Tensor]) -> "RememberedStates":
        """Read what `to_tensors` gave."""
        lengths = tensors["lengths"].tolist()
        ids, states = tensors["ids"].split(lengths), tensors["states"].split(lengths)
        keys = [
            (concept, tuple(text.tolist())) for concept, text in zip(tensors["concepts"].tolist(), ids, strict=True)
        ]
        return cls(block, dict(zip(keys, states, strict=True)))


def remembering_copy(model: ConceptBottleneck, remembered: RememberedStates) -> ConceptBottleneck:
    """Return a copy of a masked model that takes states of remembered texts, and remembers those of new ones.

    The copy shares the weights, the masks, and the changes of a context. It takes texts as token ids, padded on the
    right. Bits of masks below the block must not change while the states are in use.

    Args:
        remembered: states that were computed by this model; new ones are added. Its block is a masked one

    Raises:
        ModelError: the block has no masks, or lies below one that has none.
    """
    _, blocks = find_blocks(model.backbone)
    first = first_masked_block(model.backbone)
    if not first <= remembered.block < len(blocks):
        raise ModelError(f"block {remembered.block} is not among the masked blocks {first} to {len(blocks) - 1}")
    lower, upper = frozen_copy(model), frozen_copy(model)
    feed = _Feed(lower, remembered, first)
    upper.backbone.register_forward_pre_hook(feed.prepare, with_kwargs=True)
    _, upper_blocks = find_blocks(upper.backbone)
    for block in list(upper_blocks)[: remembered.block]:
        remove_row_splitter(block)
        # The block stays in the list, since backbones look at its attributes; only what it computes is replaced.
        block.forward = cast(Callable[..., Any], feed.skip)
    return upper


class _ReachedError(Exception):
    """The lower part of a pass is done."""


class _Feed:
    """Gives the skipped blocks of a copy the states of the batch that goes through it.

    Args:
        lower: a copy that computes states of texts that are not remembered
        first: number of the first masked block
    """

    def __init__(self, lower: ConceptBottleneck, remembered: RememberedStates, first: int):
        self.lower, self.remembered = lower, remembered
        self.shared = remembered.block == first
        self.batch: Tensor | None = None
        # How many values a block returns, the states first; 0: it returns the states alone; None: not known yet.
        self.values: int | None = 0 if remembered.block == 0 else None
        self.entered: Tensor | None = None
        _, blocks = find_blocks(lower.backbone)
        # Before the hook that copies rows for concepts, since states that are shared are kept once.
        blocks[remembered.block].register_forward_pre_hook(self._stop, with_kwargs=True, prepend=True)
        blocks[0].register_forward_hook(self._look_at_output)

    def prepare(self, backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Collect the states of a batch before it enters the backbone."""
        ids, mask = kwargs["input_ids"], kwargs["attention_mask"]
        route = current_route("a copy that remembers states")
        rows = [tuple(row[:length].tolist()) for row, length in zip(ids, mask.sum(1).tolist(), strict=True)]
        segments = [(SHARED, list(range(len(rows))))]
        if not self.shared:
            segments = [(concept, route.rows[start:stop].tolist()) for concept, start, stop in route.segments]
        for concept, part in segments:
            new = sorted({row for row in part if (concept, rows[row]) not in self.remembered.states})
            if new:
                self._remember(concept, ids[new], mask[new])
        if self.values is None:
            self._run_lower(segments[0][0], ids[:1], mask[:1])
        keys = [(concept, rows[row]) for concept, part in segments for row in part]
        parts = [self.remembered.states[key] for key in keys]
        batch = parts[0].new_zeros(len(parts), ids.shape[1], parts[0].shape[1])
        for row, states in enumerate(parts):
            batch[row, : len(states)] = states
        self.batch = batch.to(ids.device)

    def skip(self, hidden: Tensor, *args: object, **kwargs: object) -> Tensor | tuple[Tensor | None, ...]:
        """Stand in for a block below."""
        assert self.batch is not None
        return (self.batch, *[None] * (self.values - 1)) if self.values else self.batch

    def _remember(self, concept: int, ids: Tensor, mask: Tensor) -> None:
        entered = self._run_lower(concept, ids, mask)
        for row, length, states in zip(ids, mask.sum(1).tolist(), entered, strict=True):
            self.remembered.states[concept, tuple(row[:length].tolist())] = states[:length].cpu().clone()

    def _run_lower(self, concept: int, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the states of texts as they enter the block, [texts, tokens, hidden]."""
        route = route_rows(len(ids), [torch.arange(len(ids), device=ids.device)], [max(concept, 0)])
        # What records the calls of the copy must not see those of the blocks below, which have no gradients.
        with call_recorder(lambda _, __, output: output), torch.no_grad(), routed(route), suppress(_ReachedError):
            self.lower.backbone(input_ids=ids, attention_mask=mask)
        assert self.entered is not None
        return self.entered

    def _stop(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.entered = args[0] if args else kwargs["hidden_states"]
        raise _ReachedError

    def _look_at_output(self, block: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.values = len(output) if isinstance(output, tuple) else 0
