"""Applies profiles and single values to `params.yaml`; the result is validated before it is written."""

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

BASE = "none"  # the profile name for no profile


def compose(workspace: Workspace, profiles: Iterable[str] = (), settings: Iterable[str] = ()) -> bool:
    """Apply profiles, then `key=value` settings to `params.yaml`, and return whether the file changed.

    Profiles always apply to the base: if `params.yaml` holds a profile already, its version in git is the base.
    Comments are kept. On an error the file does not change.

    Raises:
        ConfigError: an unknown profile or key, an invalid value, or no base in git.
    """
    text, _ = _composed(workspace, tuple(profiles), tuple(settings))
    if text == workspace.params.read_text(encoding="utf-8"):
        return False
    write_text(workspace.params, text)
    return True


def composed_params(workspace: Workspace, profiles: Iterable[str] = (), settings: Iterable[str] = ()) -> Params:
    """The parameters that `compose` would write, validated; writes nothing."""
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
    """The content of a profile."""
    path = workspace.root / "profiles" / f"{name}.yaml"
    known = sorted(file.stem for file in path.parent.glob("*.yaml"))
    if name not in known:
        raise ConfigError(unknown("profile", name, [*known, BASE]))
    plain = _plain(path.read_text(encoding="utf-8"), f"profiles/{path.name}")
    if not isinstance(plain, dict):
        raise ConfigError(f"profiles/{path.name} must hold a mapping of keys to values")
    return plain


def _base(workspace: Workspace, current: dict) -> dict:
    """The parameters without any profile."""
    if current.get("profile") is None:
        return current
    remedy = "restore params.yaml as it was before the profile, with `profile: null`, and run again"
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
    """Update nested mappings in place. A source of another kind replaces the old source entirely."""
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
    """Writes 0.00001 as 1.0e-05: YAML 1.1 parsers read a number without the point as a string."""

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
    """Parse YAML and keep its comments."""
    try:
        parsed = _yaml().load(text)
    except YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{where} must hold a mapping of keys to values")
    return parsed


def _plain(text: str, where: str = "params.yaml") -> object:
    """Parse YAML without its comments."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None


def _dump(composed: dict) -> str:
    stream = io.StringIO()
    _yaml().dump(composed, stream)
    return stream.getvalue()
