"""`sparsecbm verify` in the terminal."""

from rich.console import Console
from rich.table import Table

from sparsecbm.pipeline.verify import TOLERANCE, Verdict


def show_verdict(verdict: Verdict) -> None:
    """Print every output with its hashes, then the differences of outputs and scores."""
    console = Console(highlight=False)
    table = Table("stage", "output", "here", "fresh clone", "", box=None, pad_edge=False)
    for output in verdict.outputs:
        mark = "[green]same[/]" if output.same else "[red]differs[/]"
        table.add_row(output.stage, output.path, output.here[:12] or "none", output.clone[:12] or "none", mark)
    console.print(table)
    different = [output.path for output in verdict.outputs if not output.same]
    console.print(
        f"[red]different: {', '.join(different)}[/]"
        if different
        else f"[green]all {len(verdict.outputs)} outputs are equal, byte for byte[/]"
    )
    far_off = [score for score in verdict.scores if not score.close]
    for score in far_off:
        console.print(f"[red]{score.name}: {score.fresh:.4f} here, {score.committed:.4f} in git[/]")
    if verdict.scores:
        close = len(verdict.scores) - len(far_off)
        console.print(f"{close} of {len(verdict.scores)} scores are within {TOLERANCE} of those in git")
    else:
        console.print("git holds no metrics/evaluate.json to compare scores with")
