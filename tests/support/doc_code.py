"""The code in pages: blocks by language, and what is wrong with the commands and imports in them."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`(sparsecbm [^`]+)`")
COMMAND = re.compile(r"(?:sparsecbm|python|pip|make|dvc|curl|\$) ")
ASSIGNMENT = re.compile(r"\w+=.*")
OPERATORS = {"|", "&&", ";", "||", "&"}


def blocks(text: str, *languages: str) -> list[str]:
    """Return the code blocks of a page in these languages, without their indentation."""
    return [dedent(body) for _, language, body in BLOCK.findall(text) if language in languages]


def untagged_commands(text: str) -> list[str]:
    """Return the first line of each code block that names no language and begins with a command."""
    return [block.splitlines()[0] for block in blocks(text, "") if COMMAND.match(block)]


def shell_commands(block: str) -> Iterator[list[str]]:
    """Return the words of each command of a shell block; the bodies of here-documents are no commands."""
    block = re.sub(r"<<'?(\w+)'?[^\n]*\n.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE)
    lexer = shlex.shlex(_without_comments(block.replace("\\\n", " ")), posix=True, punctuation_chars="|&;<>\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if word in OPERATORS or not word.strip("\n"):
            while words and ASSIGNMENT.fullmatch(words[0]):
                words = words[1:]
            if words:
                yield words
            words = []
        else:
            words.append(word)


def _without_comments(block: str) -> str:
    kept, quote, before, comment = [], "", "\n", False
    for character in block:
        if character == "\n":
            comment = False
        elif not quote and character == "#" and before.isspace():
            comment = True
        elif not comment and character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        if not comment:
            kept.append(character)
        before = character
    return "".join(kept)


@cache
def _commands() -> dict:
    from sparsecbm.cli.reference import each_command

    return dict(each_command())


def command_faults(words: list[str]) -> list[str]:
    """Return what is wrong with a command line that begins with `sparsecbm`: command, options, number of arguments."""
    from sparsecbm.cli.app import app  # noqa: F401  -- the commands must be registered

    rest = [word for word in words[1:] if word != "--debug"]
    if rest[:1] in (["--version"], ["--help"], ["-h"]):
        return []
    name = " ".join(rest[:2]) if " ".join(rest[:2]) in _commands() else "".join(rest[:1])
    if name not in _commands():
        return [f"no command {' '.join(words[:3])}"]
    command, rest = _commands()[name], rest[len(name.split()) :]
    options = {each: p for p in command.params for each in [*p.opts, *p.secondary_opts] if each.startswith("-")}
    faults, positional = [], 0
    while rest:
        word, *rest = rest
        if word in (">", ">>", "<"):
            rest = rest[1:]
        elif word in ("-h", "--help"):
            return []
        elif word.startswith("-") and word != "-":
            option, _, value = word.partition("=")
            if option not in options:
                return [f"{name} has no option {option}"]
            if not options[option].is_flag and not value:
                if not rest:
                    faults.append(f"{option} of {name} lacks its value")
                rest = rest[1:]
        else:
            positional += 1
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    least = sum(p.required for p in arguments)
    if positional < least:
        faults.append(f"{name} needs {least} argument(s)")
    if not any(p.nargs == -1 for p in arguments) and positional > len(arguments):
        faults.append(f"{name} takes {len(arguments)} argument(s)")
    missing = [each.opts[0] for each in command.params if each.required and each.param_type_name == "option"]
    given = {word.partition("=")[0] for word in words}
    return faults + [f"{name} needs {option}" for option in missing if option not in given]


def span_faults(span: str) -> list[str]:
    """Return what is wrong with a command in a sentence, which may be cut short: an unknown command or option."""
    words = span.replace("\\|", "|").split()[1:]
    names = _commands()
    groups = {name.split()[0] for name in names}
    first = words[0] if words else ""
    if first.startswith("-") or not re.fullmatch(r"[a-z|]+", first):
        return []
    for one in first.split("|"):
        if one not in groups:
            return [f"no command {one}"]
    found = [name for name in names if name.split()[0] in first.split("|")]
    second = words[1] if len(words) > 1 else ""
    children = [name for name in found if name.partition(" ")[2] in second.split("|")]
    if children:
        found = children
    known = {each for name in found for p in names[name].params for each in [*p.opts, *p.secondary_opts]}
    given = [word.strip("[]").partition("=")[0] for word in words if word.strip("[]").startswith("--")]
    return [f"{' '.join(words[:2])} has no option {option}" for option in given if option not in known | {"--debug"}]


def python_faults(block: str) -> list[str]:
    """Return what is wrong with a Python block: a syntax error, or an import from the package that does not exist."""
    try:
        tree = ast.parse(block)
    except SyntaxError as error:
        return [f"{error.msg}: {error.text}"]
    faults = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sparsecbm":
            faults += [f"{node.module} has no {name}" for name in names if not _exists(node.module, name)]
        elif isinstance(node, ast.Import):
            ours = [name for name in names if name.partition(".")[0] == "sparsecbm"]
            faults += [f"no module {name}" for name in ours if not _exists(name)]
    return faults


def _exists(module: str, name: str = "") -> bool:
    try:
        found = importlib.import_module(module)
        return not name or hasattr(found, name) or bool(importlib.import_module(f"{module}.{name}"))
    except ImportError:
        return False


def pages(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Return the pages that patterns name, each once."""
    return sorted({path for pattern in patterns for path in root.glob(pattern)})
