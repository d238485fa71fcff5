"""`sparsecbm verify` in the terminal."""

from rich.table import Table
from rich.text import Text

from sparsecbm.cli.printing.terminal import Terminal, cell
from sparsecbm.pipeline.verify import TOLERANCE, Verdict


def show_verdict(verdict: Verdict) -> None:
    """Print every output with its hashes, then the differences of outputs and scores."""
    console = Terminal()
    table = Table("stage", "output", "here", "fresh clone", "", box=None, pad_edge=False)
    for output in verdict.outputs:
        mark = Text("same", "green") if output.same else Text("differs", "red")
        hashes = (output.here[:12] or "none", output.clone[:12] or "none")
        table.add_row(cell(output.stage), cell(output.path), *hashes, mark)
    console.print(table)
    different = [output.path for output in verdict.outputs if not output.same]
    if different:
        console.print(f"different: {', '.join(different)}", style="red")
    else:
        console.print(f"all {len(verdict.outputs)} outputs are equal, byte for byte", style="green")
    far_off = [score for score in verdict.scores if not score.close]
    for score in far_off:
        console.print(f"{score.name}: {score.fresh:.4f} here, {score.reference:.4f} in the reference", style="red")
    if verdict.scores:
        close = len(verdict.scores) - len(far_off)
        console.print(f"{close} of {len(verdict.scores)} scores are within {TOLERANCE} of the reference")
    else:
        console.print("the folder reference/ has no scores of this source to compare with")
