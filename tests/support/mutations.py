"""Damage to files and JSON values, drawn by a seeded generator."""

import copy
import random
from typing import Any

ODD_VALUES = (
    None, True, -1, 0, 1e308, 2**63, "", "../../victim", "/etc/passwd", "a" * 5000, "\x00", "\u202e", [], {}, [[]],
    {"a": {"b": []}}, "nan", ["x"] * 50,
)  # fmt: skip


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return content with some bytes changed, removed, repeated or cut off; never the content itself."""
    changed = bytearray(content)
    while bytes(changed) == content:
        kind, at = rng.randrange(5), rng.randrange(max(1, len(changed)))
        if kind == 0:
            for _ in range(rng.randint(1, 8)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            del changed[at : at + rng.randint(1, 40)]
        elif kind == 3:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 40)))
        else:
            changed[at:at] = changed[at : at + rng.randint(1, 200)]
    return bytes(changed)


def mutate_json(value: Any, rng: random.Random) -> Any:
    """Return a copy in which one value, somewhere, is replaced, removed, renamed or wrapped."""
    changed = copy.deepcopy(value)
    holders = [holder for holder in _holders(changed) if holder]
    if not holders or rng.random() < 0.03:
        return rng.choice(ODD_VALUES)
    holder = rng.choice(holders)
    key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(("../victim", "", "x" * 300, "extra"))] = holder.pop(key)
    elif kind == 2:
        holder[key] = [holder[key]]
    else:
        holder[key] = rng.choice(ODD_VALUES)
    return changed


def _holders(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict | list) else []
    return own + [holder for part in inner for holder in _holders(part)]
