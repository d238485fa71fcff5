"""Lays profiles and single values over `params.yaml` for one run; `params.yaml` itself never changes.

The result goes to a file of its own below `.sparsecbm`, named by its content, and the environment of the run names it.
So a killed run leaves nothing behind that acts, and a run without profiles goes by `params.yaml` again.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.flat import flat
from sparsecbm.base.params import Params, parse_params, plain_params, read_yaml, write_params
from sparsecbm.base.workspace import RUN_PARAMS, Workspace
from sparsecbm.base.yaml_reader import parse_yaml, plain_text

BASE = "none"  # the profile name for no profile


@dataclass(frozen=True)
class Composed:
    """The parameters of one run.

    Attributes:
        changes: a line for each key that differs from `params.yaml`, with both values
    """

    params: Params
    changes: tuple[str, ...]


def compose(workspace: Workspace, profiles: Iterable[str] = (), settings: Iterable[str] = ()) -> Composed:
    """Lay profiles, then `key=value` settings over `params.yaml`. Writes nothing.

    Raises:
        ConfigError: an unknown profile or key, an invalid value, or a key that is set twice.
    """
    profiles, settings = tuple(profiles), tuple(settings)
    base = read_yaml(workspace.root / "params.yaml")
    composed = copy.deepcopy(base)
    names = _checked_names(profiles)
    for name in names:
        _merge(composed, _profile(workspace, name))
    if names:
        before = [base["profile"]] if isinstance(base.get("profile"), str) else []
        composed["profile"] = "+".join([*before, *names])
    for key, value in _parse_settings(settings).items():
        if key == "profile":
            raise ConfigError("--set profile would only name a profile; --profile NAME takes its settings")
        _set(composed, key, value)
    origin = " ".join([*(f"--profile {name}" for name in profiles), *(f"--set {setting}" for setting in settings)])
    params = parse_params(composed, f"params.yaml with {origin}" if origin else "params.yaml")
    return Composed(params, tuple(_changes(base, composed)))


def run_environment(workspace: Workspace, params: Params) -> dict[str, str]:
    """Write composed parameters, and return the environment variable by which a run and its stages find them."""
    content = json.dumps(plain_params(params)).encode()
    path = workspace.composed / f"{hashlib.sha256(content).hexdigest()[:12]}.json"
    write_params(path, params)
    return {RUN_PARAMS: str(path)}


def _checked_names(profiles: tuple[str, ...]) -> list[str]:
    names = [name for name in profiles if name != BASE]
    if names and BASE in profiles:
        raise ConfigError(f"--profile {BASE} means params.yaml alone; leave it out, or leave out {', '.join(names)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"a profile is named twice: {', '.join(names)}; name it once")
    return names


def _profile(workspace: Workspace, name: str) -> dict[str, Any]:
    """The content of a profile."""
    folder = workspace.root / "profiles"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(unknown("profile", name, [*known, BASE]))
    path = folder / f"{name}.yaml"
    plain = read_yaml(path)
    if "profile" in plain:
        raise ConfigError(f"{path}: remove the key `profile`; the name of the file is the name of the profile")
    return plain


def _merge(base: dict, over: dict) -> None:
    """Update nested mappings in place. A source of another kind replaces the old source entirely."""
    for key, value in over.items():
        old = base.get(key)
        blocks = isinstance(old, dict) and isinstance(value, dict)
        if blocks and not (key == "source" and value.get("name", old.get("name")) != old.get("name")):
            _merge(old, value)
        else:
            base[key] = copy.deepcopy(value)


def _parse_settings(settings: Iterable[str]) -> dict[str, object]:
    """Dotted key -> YAML value. No key may be set twice, nor be part of another one that is set."""
    values: dict[str, object] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not (all(key.split(".")) and equals):
            raise ConfigError(f"--set takes KEY=VALUE, such as finetune.epochs=2, not {plain_text(setting)}")
        for other in values:
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                raise ConfigError(f"--set {key} and --set {other} set the same key; give it one value")
        values[key] = parse_yaml(text, f"--set {key}: the value")
    return values


def _set(composed: dict, key: str, value: object) -> None:
    """Set one dotted key."""
    *blocks, last = key.split(".")
    block = composed
    for depth, name in enumerate(blocks, start=1):
        block = block.setdefault(name, {})
        if not isinstance(block, dict):
            raise ConfigError(f"--set {key}: {'.'.join(blocks[:depth])} is a value, not a block of keys")
    block[last] = value


def _changes(base: Mapping, composed: Mapping) -> Iterable[str]:
    old, new = flat(base), flat(composed)
    for key in dict.fromkeys([*old, *new]):
        if key == "profile" or (
            key in old and key in new and old[key] == new[key] and type(old[key]) is type(new[key])
        ):
            continue
        before = plain_text(old[key]) if key in old else "not set"
        after = plain_text(new[key]) if key in new else "not set"
        yield f"{key}: {before} -> {after}"
