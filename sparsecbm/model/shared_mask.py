"""The mask of one concept as a file of its own, with the checksum of the weights that it belongs to."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError, safe_open

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.base.markdown import markdown_code
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import weights_checksum
from sparsecbm.model.hub import CARD, Pushed, fetch_file, parse_address, push_files
from sparsecbm.model.masked_copy import Model, with_masks
from sparsecbm.model.masks import METADATA, WEIGHTS, MaskSet

FILE = "mask.safetensors"  # in a repository


@dataclass(frozen=True)
class SharedMask:
    """The mask of one concept.

    Attributes:
        masks: the mask, as a set of one
        weights: sha256 of the weights that it belongs to, as hex
    """

    masks: MaskSet
    weights: str

    @property
    def concept(self) -> str:
        """The concept whose mask it is."""
        return self.masks.concepts[0]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; it appears whole or not at all.

        Raises:
            WriteError: another kind of file, or a folder, is there, or writing failed.
        """
        self.masks.save(Path(path), self.weights)

    @classmethod
    def load(cls, path: str | Path) -> "SharedMask":
        """Read a file that `save` wrote, or that of a repository `name@revision` on a hub.

        Raises:
            ModelError: there is no such file, its bits are not those that were saved, or it is no mask of one concept.
        """
        address = parse_address(path)
        file = Path(path) if address is None else fetch_file(address, FILE, "mask")
        masks = MaskSet.load(file)
        try:
            with safe_open(file, framework="pt") as opened:
                weights = json.loads(opened.metadata()[METADATA]).get(WEIGHTS)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file} is not a mask file: {error}; restore the file") from error
        if len(masks) != 1 or not isinstance(weights, str) or re.fullmatch("[0-9a-f]{64}", weights) is None:
            raise ModelError(f"{file} holds the masks of a model, not that of one concept; save one by `mask_of`")
        return cls(masks, weights)

    def push_to_hub(self, name: str, *, public: bool = False) -> Pushed:
        """Push the mask to a repository `OWNER/NAME` on a hub; `SharedMask.load("NAME@REVISION")` reads it.

        Raises:
            ModelError: as `SparseCBM.push_to_hub`.
        """
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / FILE
            self.save(file)
            files: dict[str, Path | bytes] = {FILE: file, CARD: self._card(name).encode()}
            return push_files(name, files, "Publish a mask of sparsecbm", public, re.compile(re.escape(FILE)))

    def _card(self, name: str) -> str:
        return f"""---
library_name: sparsecbm
tags:
- sparsecbm
- concept-mask
---

# The mask of one concept

- concept: {markdown_code(self.concept)}
- keeps {self.masks.density()[self.concept]:.1%} of {self.masks.size:,} weights in {len(self.masks.shapes)} layers
- sha256 of the mask: `{self.masks.content_hash()}`
- belongs to the weights with the sha256 `{self.weights}`; on others it is refused

```python
from sparsecbm import SharedMask

model = model.with_mask(SharedMask.load("{name}@main"))
```
"""


def mask_of(model: ConceptBottleneck, concept: str) -> SharedMask:
    """The mask of one concept of a model, to save or share.

    Raises:
        ModelError: the model has no masks.
        ConfigError: unknown concept; the message lists the choices.
    """
    if model.masks is None:
        raise ModelError("this model has no masks; prune it first")
    return SharedMask(model.masks.of([concept]), weights_checksum(model))


def under_mask(model: Model, mask: SharedMask) -> Model:
    """A model of the same weights in which one concept has another mask; the given model stays as it is.

    Raises:
        ModelError: the mask belongs to other weights, or the model has no masks of these layers.
        ConfigError: the model has no such concept.
    """
    own = weights_checksum(model)
    if own != mask.weights:
        raise ModelError(
            f"the mask of {mask.concept!r} belongs to weights with the checksum {mask.weights}, and this model's have "
            f"{own}; load the model that the mask was made for"
        )
    if model.masks is None or model.masks.shapes != mask.masks.shapes:
        raise ModelError(f"the mask of {mask.concept!r} is for other layers than those that this model has masks of")
    if mask.concept not in model.masks.concepts:
        raise ConfigError(unknown("concept", mask.concept, model.masks.concepts))
    return with_masks(model, model.masks.replaced(mask.concept, mask.masks[mask.concept]))
