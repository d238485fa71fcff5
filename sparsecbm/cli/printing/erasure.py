"""`sparsecbm forget` in the terminal."""

from pathlib import Path

from sparsecbm.cli.printing.terminal import say
from sparsecbm.erasure.forget import Erasure

SHOWN = 60  # characters of the text


def show_erasure(erasure: Erasure, root: Path, done: bool) -> None:
    """Print which places lose the text, what still holds it, and what must run again."""
    subject = erasure.subject
    text = " ".join(subject.texts[0].split())
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    say(f"{'forgotten' if done else 'to be forgotten'}: {shown!r}")
    say(f"rows: {', '.join(subject.ids) or 'none'}")
    for change in erasure.changes:
        path = change.path.relative_to(root) if change.path.is_relative_to(root) else change.path
        say(f"  {path}: {change.what}")
    if erasure.copies:
        say("\nstill held, and how to clear it:")
        for copy in erasure.copies:
            say(f"  {copy.where}\n      {copy.remedy}")
    if erasure.reruns:
        say("\nto run again:")
        for line in erasure.reruns:
            say(f"  {line}")
    if not done:
        say("\nnothing was changed; add --yes to do it")
