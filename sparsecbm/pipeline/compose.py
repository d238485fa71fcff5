"""Profiles and single values laid over `params.yaml`, checked before a byte is written."""

import io
from collections.abc import Iterable

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.files import write_text
from sparsecbm.base.git import GitError, git
from sparsecbm.base.params import Params, parse_params
from sparsecbm.base.workspace import Workspace

BASE = "none"  # the profile's name that stands for no profile


def compose(workspace: Workspace, profiles: Iterable[str] = (), settings: Iterable[str] = ()) -> bool:
    """Lay profiles, then `key=value` settings over `params.yaml`; whether that changed the file.

    Profiles go over the base, never over each other's remains: where `params.yaml` was composed before,
    its version in git is the base. Comments stay. On any fault the file stays as it was.

    Raises:
        ConfigError: an unknown profile or key, a wrong value, or no base to go back to.
    """
    text, _ = _composed(workspace, tuple(profiles), tuple(settings))
    if text == workspace.params.read_text(encoding="utf-8"):
        return False
    write_text(workspace.params, text)
    return True


def composed_params(workspace: Workspace, profiles: Iterable[str] = (), settings: Iterable[str] = ()) -> Params:
    """What `compose` would write, as checked parameters; nothing is written."""
    return _composed(workspace, tuple(profiles), tuple(settings))[1]


def _composed(workspace: Workspace, profiles: tuple[str, ...], settings: tuple[str, ...]) -> tuple[str, Params]:
    current = _parse(workspace.params.read_text(encoding="utf-8"), "params.yaml")
    composed = _base(workspace, current) if profiles else current
    names = [name for name in profiles if name != BASE]
    for name in names:
        _merge(composed, _profile(workspace, name))
    if profiles:
        composed["profile"] = "+".join(names) or None
    for setting in settings:
        _set(composed, setting)
    text = _dump(composed)
    origin = " ".join([*(f"--profile {name}" for name in profiles), *(f"--set {setting}" for setting in settings)])
    return text, parse_params(_plain(text), f"params.yaml with {origin}" if origin else "params.yaml")


def _profile(workspace: Workspace, name: str) -> dict:
    """What a profile lays over the base."""
    path = workspace.root / "profiles" / f"{name}.yaml"
    known = sorted(file.stem for file in path.parent.glob("*.yaml"))
    if name not in known:
        raise ConfigError(unknown("profile", name, [*known, BASE]))
    plain = _plain(path.read_text(encoding="utf-8"), f"profiles/{path.name}")
    if not isinstance(plain, dict):
        raise ConfigError(f"profiles/{path.name} must hold a mapping of keys to values")
    return plain


def _base(workspace: Workspace, current: dict) -> dict:
    """The parameters that no profile has touched."""
    if current.get("profile") is None:
        return current
    remedy = "put params.yaml back as it was before the profile, with `profile: null`, and run again"
    try:
        committed = git(workspace.root, "show", "HEAD:./params.yaml") + "\n"
    except GitError:
        fault = f"params.yaml holds profile {current['profile']!r} and git has no other version"
        raise ConfigError(f"{fault}; {remedy}") from None
    base = _parse(committed, "params.yaml in git")
    if base.get("profile") is not None:
        raise ConfigError(f"params.yaml in git holds profile {base['profile']!r} as well; {remedy}")
    return base


def _merge(base: dict, over: dict) -> None:
    """Lay one mapping over another, block by block. A source of another kind takes the place of the old one."""
    for key, value in over.items():
        old = base.get(key)
        blocks = isinstance(old, dict) and isinstance(value, dict)
        if blocks and not (key == "source" and value.get("name", old.get("name")) != old.get("name")):
            _merge(old, value)
        else:
            base[key] = value


def _set(composed: dict, setting: str) -> None:
    """Set one dotted key to a YAML value."""
    key, equals, text = setting.partition("=")
    if not (key and equals):
        raise ConfigError(f"--set takes KEY=VALUE, such as finetune.epochs=2, not {setting!r}")
    value = _plain(text, f"the value of {key}")
    *blocks, last = key.split(".")
    block = composed
    for depth, name in enumerate(blocks, start=1):
        block = block.setdefault(name, {})
        if not isinstance(block, dict):
            raise ConfigError(f"--set {setting}: {'.'.join(blocks[:depth])} is a value, not a block of keys")
    block[last] = value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.Representer = _Representer
    return yaml


class _Representer(RoundTripRepresenter):
    """Writes 0.00001 as 1.0e-05: without the point, YAML 1.1 readers take it for a text."""

    def represent_float(self, data: float) -> ScalarNode:
        text = repr(data)
        if "." not in text and "e" in text:
            return self.represent_scalar("tag:yaml.org,2002:float", text.replace("e", ".0e"))
        return super().represent_float(data)

    def represent_none(self, data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(float, _Representer.represent_float)
_Representer.add_representer(type(None), _Representer.represent_none)


def _parse(text: str, where: str) -> dict:
    """YAML with its comments."""
    try:
        parsed = _yaml().load(text)
    except YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{where} must hold a mapping of keys to values")
    return parsed


def _plain(text: str, where: str = "params.yaml") -> object:
    """YAML without its comments."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None


def _dump(composed: dict) -> str:
    stream = io.StringIO()
    _yaml().dump(composed, stream)
    return stream.getvalue()
