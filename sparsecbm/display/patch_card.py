"""A patch that is shared on a hub, with its card: what it flips, what it belongs to, and its side effects."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from sparsecbm.base.markdown import markdown, markdown_code
from sparsecbm.intervene.patches.patch import HUB_FILE, MaskPatch
from sparsecbm.intervene.patches.side_effects import Share, SideEffects
from sparsecbm.model.hub import CARD, Pushed, push_files


def push_patch(patch: MaskPatch, name: str, public: bool) -> Pushed:
    """Push a patch to a repository `OWNER/NAME` on a hub; `MaskPatch.load("NAME@REVISION")` reads it.

    Raises:
        ModelError: as `sparsecbm.model.hub.push_files`.
    """
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / HUB_FILE
        patch.save(file)
        files = {HUB_FILE: file, CARD: patch_card(patch, name).encode()}
        return push_files(name, files, "Publish a patch of sparsecbm", public, re.compile(re.escape(HUB_FILE)))


def patch_card(patch: MaskPatch, name: str) -> str:
    """The card as Markdown, with a header for hubs.

    Args:
        name: of the repository
    """
    author, note = markdown(patch.author) or "not stated", markdown(patch.note) or "none"
    return f"""---
library_name: sparsecbm
tags:
- sparsecbm
- mask-patch
---

# A patch of one concept's mask

- {markdown_code(patch.concept)} becomes {markdown_code(patch.state)} for {len(patch.texts)} text(s)
- flips {patch.bits:,} of {patch.size:,} bits ({patch.share:.3%})
- id: `{patch.id}`
- belongs to the weights with the sha256 `{patch.weights}` and the mask with the sha256 `{patch.mask}`; on others it is
  refused
- author: {author}; note: {note}

The file holds no text. It holds the sha256 of each text that it was made for, by which somebody who has a text can tell
that the patch was made for it.

## Side effects

{_effects(patch.side_effects)}

```python
from sparsecbm.intervene.patches.patch import MaskPatch

model = model.with_patches(MaskPatch.load("{name}@main"))
```
"""


def _effects(effects: SideEffects | None) -> str:
    if effects is None:
        return "They were not measured."
    return f"""On {effects.texts:,} texts that had no part in making it:

| | correct before, wrong now | wrong before, correct now |
|---|---|---|
| the concept | {_share(effects.harmed)} | {_share(effects.fixed)} |
| the label | {_share(effects.label_harmed)} | {_share(effects.label_fixed)} |

Of the {effects.neighbours.texts:,} most similar texts, it fixed {effects.neighbours.fixed:,} and harmed
{effects.neighbours.harmed:,}."""


def _share(share: Share) -> str:
    if share.share is None:
        return "no such text"
    low, high = share.interval
    bounds = "" if low is None or high is None else f" (95 %: {low:.2%} to {high:.2%})"
    return f"{share.count:,} of {share.of:,}, {share.share:.2%}{bounds}"
