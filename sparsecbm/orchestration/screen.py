"""Terminal output of a flow: progress of the stages, and one message at the end. NO_COLOR is respected."""

from rich.text import Text

from sparsecbm.cli.printing.terminal import Terminal
from sparsecbm.orchestration.endings import PipeClosed

COLOURS = {"UpToDate": "cyan", "Restored": "cyan", "Skipped": "yellow", "Postponed": "yellow"}


class _Console(Terminal):
    def on_broken_pipe(self) -> None:
        """Rich itself would end the process with code 1, in the middle of a task."""
        raise PipeClosed from None


class Screen:
    """Progress on stdout, the final error on stderr."""

    def __init__(self) -> None:
        self._out = _Console()
        self._err = _Console(stderr=True)

    def begin(self, number: int, total: int, stage: str) -> None:
        """Announce a stage."""
        self._out.print(f"[{number}/{total}] {stage}", style="bold", soft_wrap=True)

    def line(self, text: str) -> None:
        """A line of a stage's output."""
        self._out.print(f"  {text}", soft_wrap=True, style="dim")

    def end(self, stage: str, state: str, seconds: float | None, note: str = "") -> None:
        """Print the final state of a stage."""
        duration = "" if seconds is None else f" {seconds:.1f} s"
        outcome = (f"{stage}: {state}", COLOURS.get(state, "green"))
        self._out.print(Text.assemble("  ", outcome, duration), soft_wrap=True)
        if note:
            self.line(note)

    def result(self, text: str) -> None:
        """A line about what the flow made."""
        self._out.print(f"  {text}", soft_wrap=True)

    def success(self, text: str) -> None:
        """Print the final message of a flow that succeeded."""
        self._out.print(text, soft_wrap=True, style="bold green")

    def failure(self, text: str) -> None:
        """Print the final error of a flow."""
        self._err.print(text, soft_wrap=True, style="bold red")
