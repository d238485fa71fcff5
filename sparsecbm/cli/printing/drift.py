"""`sparsecbm drift` in the terminal."""

from sparsecbm.cli.printing.tables import figures
from sparsecbm.cli.printing.terminal import Terminal, cell
from sparsecbm.drift.check import DriftReport


def show_drift(report: DriftReport) -> None:
    """Print the verdict, the three failures, and the figures that drifted or come closest."""
    console = Terminal()
    table = figures("figure", "effect", "counts from", "p by Holm", "")
    for each in sorted(report.measures, key=lambda each: (not each.drifted, each.p_holm)):
        row = (f"{each.effect:.3f}", f"{each.threshold:g}", f"{each.p_holm:.2g}", "drift" if each.drifted else "")
        table.add_row(cell(each.name), *row)
    console.print(table)
    console.print()
    for failure in report.failures:
        console.print(f"{failure.name}: {failure.state}; {failure.reason}")
    console.print(verdict(report), style="bold")


def verdict(report: DriftReport) -> str:
    """The result in one sentence."""
    if report.triggered:
        return f"triggered: {', '.join(report.triggered)} drifted in {report.windows_needed} windows running"
    if report.drifted:
        return f"this window drifts; {report.windows_needed} windows running trigger"
    return f"no drift in {report.texts} texts"
