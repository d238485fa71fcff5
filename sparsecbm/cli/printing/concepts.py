"""`sparsecbm concepts` in the terminal."""

from pathlib import Path

from rich.table import Table

from sparsecbm.annotate.discovery.check import CheckResult
from sparsecbm.annotate.discovery.completeness import Completeness
from sparsecbm.annotate.discovery.suggest import Suggestion
from sparsecbm.annotate.discovery.suggested_file import describe_broad, describe_stop
from sparsecbm.cli.printing.tables import figures
from sparsecbm.cli.printing.terminal import Terminal, cell

SHOWN_TERMS = 3
LEGEND = (
    "texts: the share of the texts with a clause close to the concept. majority: always the commonest label. "
    "black box: a classifier without concepts. first 2: a classifier that sees the two best concepts and nothing else. "
    "gain: points of accuracy that the last concept adds; its error: the standard error of that. "
    "Brier: mean squared error of the probabilities, lower is better. "
    "completeness: the part of the black box's gain over the majority that these concepts reach; 95 %: its interval."
)


def show_ranking(suggestion: Suggestion) -> None:
    """Print the ranked concepts, and what they know of the label together."""
    console = Terminal()
    console.print(_concepts(suggestion))
    console.print()
    console.print(_curve(suggestion.completeness))
    console.print()
    console.print(LEGEND)
    count = len(suggestion.definitions)
    console.print(describe_stop(suggestion.completeness, count), soft_wrap=True)
    if suggestion.completeness.stop not in (0, count):
        console.print(f"The figures alone would stop at {suggestion.completeness.stop}.")
    broad = describe_broad(suggestion)
    if broad:
        console.print(broad, soft_wrap=True)


def show_written(path: Path, earlier: Path | None) -> None:
    """Print where the file is, and where the earlier one was kept."""
    console = Terminal()
    if earlier is not None:
        console.print(f"The earlier file is kept as {earlier}.", soft_wrap=True)
    console.print(f"Written: {path}. Edit it, then run `sparsecbm concepts check`.", soft_wrap=True)


def _concepts(suggestion: Suggestion) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("concept", overflow="fold")
    table.add_column("chosen")
    table.add_column("texts", justify="right")
    table.add_column("states", overflow="fold")
    table.add_column("key words", overflow="fold")
    for concept in suggestion.concepts:
        table.add_row(
            cell(concept.definition.name),
            "yes" if concept.chosen else "",
            f"{concept.coverage:.0%}",
            cell(" / ".join(concept.definition.states)),
            cell(", ".join(concept.terms[:SHOWN_TERMS])),
        )
    return table


def _curve(completeness: Completeness) -> Table:
    table = figures("held-out texts", "accuracy", "gain", "its error", "Brier", "completeness", "95 %")
    rows = [("majority", completeness.majority), ("black box", completeness.black_box)]
    for name, score in rows:
        table.add_row(name, f"{score.accuracy:.3f}", "", "", f"{score.brier:.3f}", "", "")
    for step in completeness.steps:
        interval = step.completeness_interval
        table.add_row(
            f"first {step.concepts}",
            f"{step.score.accuracy:.3f}",
            f"{100 * step.gain:+.1f}",
            f"{100 * step.gain_error:.1f}",
            f"{step.score.brier:.3f}",
            "" if step.completeness is None else f"{step.completeness:.0%}",
            "" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}",
        )
    return table


def show_check(result: CheckResult, path: Path) -> None:
    """Print what is wrong with a file of concepts, and which concepts need new labels."""
    console = Terminal()
    for finding in result.findings:
        where = f"concept {finding.concept}: " if finding.concept else ""
        style = "red" if finding.level == "error" else "yellow"
        console.print(cell(f"{finding.level}: {where}{finding.message}", style), soft_wrap=True)
    for concept, annotators in result.outdated.items():
        counts = ", ".join(f"{count:,} by {annotator}" for annotator, count in annotators.items())
        console.print(
            cell(f"{concept}: labels for an earlier definition ({counts}); `sparsecbm annotate` labels it anew"),
            soft_wrap=True,
        )
    errors = sum(finding.level == "error" for finding in result.findings)
    warnings = len(result.findings) - errors
    console.print(f"{path}: {len(result.coverage)} concepts, {errors} errors, {warnings} warnings.", soft_wrap=True)
    if not errors:
        console.print("next: `sparsecbm annotate review`")
