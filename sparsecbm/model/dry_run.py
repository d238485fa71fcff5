"""A dry run of all that a pipeline does with a backbone, before anything is trained.

A backbone of another family may fail only after hours, or give wrong explanations in silence. So everything is done
once, at the full length of texts, on copies: forward, under masks, unfolded, from word embeddings, and once more after
its configuration was saved. The results must agree with plain passes through multiplied weights.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from accelerate import init_empty_weights
from torch import Tensor
from torch.func import functional_call

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.architecture import TAKE, foreign_faults
from sparsecbm.model.backbone import build_backbone, plain_config
from sparsecbm.model.batches import encode
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import unfold
from sparsecbm.model.masked import LinearMap, MaskedLinear, call_recorder, needs_separate_passes, prunable_layers
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.pooling import pool
from sparsecbm.model.tokenizer import forget_padding, load_tokenizer
from sparsecbm.model.units import find_units, output_axis, select_pruned_units

Result = TypeVar("Result")

TOLERANCE = 1e-3  # of the largest value; faults of routing were 2 % and more, rounding is 0.001 %
CONCEPTS = 2  # that the dry run has, so that it takes the same time for fifty
DENSITY = 0.7


@dataclass(frozen=True)
class PlannedMasks:
    """What pruning will be asked for.

    Attributes:
        layers: patterns of the layers that get masks
        masked_from: number of the first block that gets masks
        whole_units: whether masks keep or drop whole heads and neurons
        pattern: N and M of masks that keep N of M neighbouring inputs; None for others
        score_rank: rank of learnt scores of low rank; 0 for others
    """

    layers: Sequence[str] = ("*",)
    masked_from: int = 0
    whole_units: bool = False
    pattern: tuple[int, int] | None = None
    score_rank: int = 0


ALL_LAYERS = PlannedMasks()


def dry_run(model: ConceptBottleneck, planned: PlannedMasks = ALL_LAYERS, bf16: bool = False) -> None:
    """Check that a model can be trained, pruned, explained and saved. It and all random numbers stay as they are.

    Args:
        bf16: whether it will be trained in bf16

    Raises:
        ModelError: something fails, or results do not agree; names the family and the step.
        ConfigError: a setting does not fit the backbone: its positions, its blocks, its layers or the precision.
    """
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        check = _DryRun(model, planned)
        check.run()
        if bf16:
            check.run_in_bf16()


class _DryRun:
    def __init__(self, model: ConceptBottleneck, planned: PlannedMasks):
        self.model, self.planned = model, planned
        self.family = model.backbone.config.model_type
        self.draw = torch.Generator().manual_seed(0)
        self.backbone = copy.deepcopy(model.backbone, {id(weight): weight for weight in model.backbone.parameters()})
        self.backbone.eval()
        self.ids, self.mask = self._batch(model.settings.max_length)

    @torch.no_grad()
    def run(self) -> None:
        self._check_tokenizer()
        self._check_length()
        states = self._step("forward", lambda: self._pooled(self.ids, self.mask))
        alone = self._step("forward", lambda: self._pooled(self.ids[1:, : self._half], self.mask[1:, : self._half]))
        self._compare("padding", alone, states[1:])
        if self.model.has_bottleneck:
            self._check_masks()
        self._step("save", lambda: self._check_saved(states))

    @torch.no_grad()
    def run_in_bf16(self) -> None:
        """Some families hold numbers that bf16 cannot."""
        try:
            with torch.autocast(self.model.device.type, torch.bfloat16):
                pooled = self._step("bf16", lambda: self._pooled(self.ids, self.mask))
        except ModelError as error:
            raise ConfigError(
                f"finetune.precision: set it to float32, since this backbone fails in bf16. {error}"
            ) from error
        if not bool(pooled.isfinite().all()):
            raise ConfigError(f"finetune.precision: set it to float32, since a {self.family} overflows in bf16")

    def _batch(self, length: int) -> tuple[Tensor, Tensor]:
        """A text of full length and one of half of it, [2, length] each, of tokens that are not special."""
        tokenizer = self.model.tokenizer
        special = set(tokenizer.all_special_ids)
        words = [token for token in tokenizer.get_vocab().values() if token not in special] or [0]
        drawn = torch.randint(len(words), (2, length), generator=self.draw)
        ids, mask = torch.tensor(sorted(words))[drawn], torch.ones(2, length, dtype=torch.long)
        self._half = max(1, length // 2)
        ids[1, self._half :], mask[1, self._half :] = tokenizer.pad_token_id, 0
        return ids.to(self.model.device), mask.to(self.model.device)

    def _check_tokenizer(self) -> None:
        if not self.model.tokenizer.is_fast:
            raise ModelError(
                f"model.backbone: {type(self.model.tokenizer).__name__} does not give the positions of tokens in a "
                "text, so nothing could be explained; save the backbone with a fast tokenizer (tokenizer.json)"
            )

    def _check_length(self) -> None:
        """Find the most tokens that work, if a text of full length does not and a short one does."""

        def works(length: int) -> bool:
            try:
                self._pooled(self.ids[:1, :length], self.mask[:1, :length])
            except Exception:  # of any kind; if no length works, the next step names the fault
                return False
            return True

        most = self.ids.shape[1]
        if works(most) or not works(1):
            return
        least = 1
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (middle, most) if works(middle) else (least, middle)
        raise ConfigError(
            f"model.max_length: {self.ids.shape[1]} is above the positions of the backbone, a {self.family}; set it to "
            f"{least} at most"
        )

    def _check_masks(self) -> None:
        names = self.model.concept_set.names[:CONCEPTS]
        masks = self._draw_masks(names)
        concepts = ConceptSet(self.model.concept_set.concepts[:CONCEPTS], self.model.concept_set.label)
        small = ConceptBottleneck(self.backbone, self.model.tokenizer, concepts, self.model.settings).eval()
        masked = with_masks(small.to(self.model.device), masks)
        expected = self._step("mask", lambda: {name: self._multiplied(masks, name) for name in names})
        used: set[str] = set()

        def record(layer: MaskedLinear, _: Tensor, outputs: Tensor) -> Tensor:
            used.add(layer.name)
            return outputs

        with call_recorder(record):
            pooled = self._step("mask", lambda: masked.represent(self.ids, self.mask))
        unused = [layer for layer in masks.shapes if layer not in used]
        if unused:
            raise ConfigError(
                f"prune.layers: {unused[0]} takes no part in reading a text, so it cannot have masks; name patterns "
                f"that leave {len(unused)} such layers out"
            )
        for name in names:
            self._compare("mask", pooled[name], expected[name])
        explained: ConceptBottleneck = masked
        if not needs_separate_passes(self.backbone):
            explained = self._step("unfold", lambda: unfold(masked))
            unfolded: dict[str, Tensor] = explained.represent(self.ids, self.mask)
            for name in names:
                self._compare("unfold", unfolded[name], pooled[name])
        for form in (masked, explained):
            single = self._step("one text", partial(form.represent, self.ids[:1], self.mask[:1]))
            for name in names:
                self._compare("padding", single[name], pooled[name][:1])
        self._step("explain", lambda: self._check_gradients(explained, pooled))

    def _draw_masks(self, names: Sequence[str]) -> MaskSet:
        layers = prunable_layers(self.backbone, self.planned.layers, self.planned.masked_from)
        if self.planned.whole_units:
            select_pruned_units(find_units(self.backbone), layers)
        self._check_widths(layers)
        shapes = {layer: module.weight.shape for layer, module in layers.items()}
        return MaskSet.from_masks(
            {
                name: {layer: torch.rand(shape, generator=self.draw) < DENSITY for layer, shape in shapes.items()}
                for name in names
            }
        )

    def _check_widths(self, layers: Mapping[str, LinearMap]) -> None:
        planned = self.planned
        for name, layer in layers.items():
            inputs, smallest = layer.weight.shape[1 - output_axis(layer)], min(layer.weight.shape)
            if planned.pattern and inputs % planned.pattern[1]:
                kept, group = planned.pattern
                raise ConfigError(
                    f"prune.granularity: {kept}:{group} needs inputs in groups of {group}, and {name} has {inputs}; "
                    f"take an M that divides {inputs}, or leave such layers out (prune.layers)"
                )
            if planned.score_rank > smallest:
                raise ConfigError(
                    f"prune.score_rank: {planned.score_rank} is larger than {name} allows; take 1 to {smallest}, or "
                    "leave such layers out (prune.layers)"
                )

    def _multiplied(self, masks: MaskSet, name: str) -> Tensor:
        """Pooled texts of the plain backbone whose weights are multiplied with a concept's mask."""
        parameters = dict(self.backbone.named_parameters())
        weights = {
            f"{layer}.weight": parameters[f"{layer}.weight"] * mask.to(self.model.device)
            for layer, mask in masks[name].items()
        }
        arguments = {"input_ids": self.ids, "attention_mask": self.mask}
        output = functional_call(self.backbone, weights, kwargs=arguments)
        return pool(output.last_hidden_state, self.mask, self.model.settings.pooling)

    def _check_gradients(self, explained: ConceptBottleneck, expected: dict[str, Tensor]) -> None:
        """The value that words are scored for must be that of the model, and depend on its words."""
        words = self.backbone.get_input_embeddings()(self.ids).detach().requires_grad_()
        with torch.enable_grad():
            pooled = explained.represent(words, self.mask)
            total = torch.stack([values.square().sum() for values in pooled.values()]).sum()
            (gradient,) = torch.autograd.grad(total, words)
        for name, values in pooled.items():
            self._compare("explain", values, expected[name])
        if not bool(gradient.isfinite().all()) or not bool(gradient.any()):
            raise ModelError(f"model.backbone: a {self.family} gives no gradients on its words; {TAKE}")

    def _check_saved(self, expected: Tensor) -> None:
        """A backbone built from the saved configuration, with the same weights, must give the same."""
        with init_empty_weights(include_buffers=False):  # a second set of weights may not fit into the memory
            built = build_backbone(json.loads(json.dumps(plain_config(self.backbone.config))))
        weights = {name: weight.cpu() for name, weight in self.backbone.state_dict().items()}
        built.load_state_dict(weights, assign=True)
        states = built.eval()(input_ids=self.ids.cpu(), attention_mask=self.mask.cpu()).last_hidden_state
        pooled = pool(states, self.mask.cpu(), self.model.settings.pooling)
        self._compare("save", pooled, expected.cpu())
        tokenizer = self.model.tokenizer
        text = str(tokenizer.decode(self.ids[0]))
        with TemporaryDirectory(prefix="sparsecbm-") as folder:
            forget_padding(tokenizer)
            tokenizer.save_pretrained(folder)
            loaded = load_tokenizer(Path(folder))
        length = self.model.settings.max_length
        if encode(loaded, [text], length) != encode(tokenizer, [text], length):
            raise ModelError(
                f"model.backbone: {type(tokenizer).__name__} splits a text differently after it was saved and loaded; "
                "save it as tokenizer.json, with `PreTrainedTokenizerFast`"
            )

    def _pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return pool(states, mask, self.model.settings.pooling)

    def _step(self, name: str, action: Callable[[], Result]) -> Result:
        """The result of an action; its faults name the family and the step."""
        with foreign_faults(f"model.backbone: a {self.family} cannot be a backbone; {TAKE}. Its step `{name}` fails"):
            return action()

    def _compare(self, step: str, actual: Tensor, expected: Tensor) -> None:
        difference = float((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-9))
        if not difference <= TOLERANCE:
            raise ModelError(
                f"model.backbone: a {self.family} cannot be a backbone: {FAULTS[step]} ({difference:.1%} of the "
                f"largest value); {TAKE}"
            )


FAULTS = {
    "padding": "a text is read differently beside a longer one",
    "mask": "under masks it differs from the same weights multiplied",
    "unfold": "its blocks differ when each concept has its own",
    "explain": "from word embeddings it differs from the same words",
    "save": "after it is saved and loaded it differs",
}
