"""How a model is run for prediction: what becomes of its K masks, and in which precision its backbone multiplies.

    packed        masks stay bits and are multiplied in each pass; on a GPU the products of all concepts are one product
    multiplied    each concept has copies of the masked weights, multiplied once: K times their memory
    compact       the heads and neurons that a concept drops are cut out of its copy, if its mask drops whole ones

All three give the same up to rounding. `auto` takes the fastest that fits. In bf16 the backbone multiplies numbers of 8
significant bits, so a prediction close to a boundary may change; heads and pooling stay float32.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import compact, unfold, weights_after_cut
from sparsecbm.model.masked import needs_separate_passes
from sparsecbm.model.masked_copy import frozen_copy

Masks = Literal["auto", "packed", "multiplied", "compact"]
Precision = Literal["auto", "float32", "bf16"]
# To multiply the masks of MiniLM takes .17 s of CPU time and saves 3 ms a text (benchmarks/inference.py).
FEW_TEXTS = 64
MEMORY_SHARE = 0.25  # of the machine's memory, which copies of the masked weights may take


@dataclass(frozen=True)
class Execution:
    """A choice of how to run a model.

    Attributes:
        masks: auto | packed | multiplied | compact
        precision: auto (bf16 if the processor or GPU multiplies it) | float32 | bf16
    """

    masks: Masks = "auto"
    precision: Precision = "auto"

    def resolved(self, model: ConceptBottleneck, texts: int | None = None) -> "Execution":
        """The same choice without `auto`.

        Args:
            texts: how many will be predicted, if that is known; a few do not pay for copies of weights
        """
        masks, precision = self.masks, self.precision
        if masks == "auto":
            masks = _choose_masks(model, texts)
        if precision == "auto":
            precision = "bf16" if multiplies_bf16(model.device) else "float32"
        return Execution(masks, precision)


AUTO = Execution()


def prediction_copy(
    model: ConceptBottleneck, execution: Execution = AUTO, texts: int | None = None
) -> ConceptBottleneck:
    """A copy of a model that predicts fast, in eval mode and without gradients; the given model stays as it is.

    The copy is for predictions alone. Unless its masks are packed, patches count that are in force now, and later ones
    have no effect on it. Concept edits count in the context in which it predicts.

    Args:
        texts: how many will be predicted, if that is known

    Raises:
        ModelError: the masks cannot be multiplied or cut out as `execution` says.
    """
    how = execution.resolved(model, texts)
    if how.masks == "compact":
        fast: ConceptBottleneck = compact(model)
    elif how.masks == "multiplied":
        fast = unfold(model)
    else:
        fast = frozen_copy(model)
    if how.precision == "bf16":
        _multiply_in_bf16(fast.backbone)
    return fast


# A model, and a copy that exists already. It belongs to a context, since a patch in another one makes it wrong there.
_existing: ContextVar[tuple[ConceptBottleneck, ConceptBottleneck] | None] = ContextVar("existing", default=None)


@contextmanager
def using_copy(model: ConceptBottleneck, copied: ConceptBottleneck) -> Iterator[None]:
    """Let explanations of a model use a copy that `prediction_copy` made, in this context, rather than make another.

    Args:
        copied: in float32; no patch may come into force in the block
    """
    token = _existing.set((model, copied))
    try:
        yield
    finally:
        _existing.reset(token)


def existing_copy(model: ConceptBottleneck) -> ConceptBottleneck | None:
    """The copy of a model that this context has; None without one."""
    pair = _existing.get()
    return pair[1] if pair is not None and pair[0] is model else None


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device has instructions that multiply bf16 numbers; without them float32 is faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def can_multiply(model: ConceptBottleneck) -> bool:
    """Whether a model has masks that can be multiplied into copies of its weights."""
    return model.masks is not None and not needs_separate_passes(model.backbone)


def _choose_masks(model: ConceptBottleneck, texts: int | None) -> Masks:
    few = texts is not None and texts < FEW_TEXTS
    if few or model.device.type == "cuda" or not can_multiply(model):
        return "packed"
    masks, after_cut = model.masks, weights_after_cut(model)
    assert masks is not None
    weights = len(masks.concepts) * masks.size if after_cut is None else after_cut
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 4 * weights > MEMORY_SHARE * memory:  # bytes of float32
        return "packed"
    return "multiplied" if after_cut is None else "compact"


def _multiply_in_bf16(backbone: nn.Module) -> None:
    """Round the weights of a backbone to bf16, and let it return float32. Buffers such as frequencies stay exact."""
    for parameter in backbone.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)

    def widen(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.float()
        return output

    backbone.register_forward_hook(widen)
