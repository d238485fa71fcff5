"""Prints the plan of a training."""

from collections.abc import Mapping

from rich.table import Table

from sparsecbm.cli.printing.terminal import Terminal, cell
from sparsecbm.planning.plan import Plan

MEGABYTE = 2**20


def print_plan(plan: Plan, available: int, of_what: str, free_disk: int, seconds: Mapping[str, float]) -> list[str]:
    """Print the plan, and return what does not fit, one sentence for each fault.

    Args:
        available: bytes of memory
        of_what: whose memory that is
        free_disk: bytes
        seconds: stage -> its time; empty if it was not measured
    """
    console = Terminal()
    console.print(
        f"{plan.parameters:,} parameters, {plan.masked:,} of them under masks; {plan.texts.count:,} texts of "
        f"{plan.mean_tokens} tokens on average, {plan.texts.longest} at most",
        soft_wrap=True,
    )
    for stage in plan.stages:
        table = Table("", "MB", "smaller by", title=stage.stage, title_justify="left", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for part in stage.parts:
            table.add_row(cell(part.name), _megabytes(part.size), cell(part.smaller, "dim"))
        table.add_row(cell("at its peak", "bold"), _megabytes(stage.size), cell(_duration(seconds.get(stage.stage))))
        console.print(table)
    console.print(f"disk: {_megabytes(plan.disk)} MB; free: {_megabytes(free_disk)} MB")
    console.print(f"memory of {of_what}: {_megabytes(available)} MB are free")
    faults = [
        f"{stage.stage} needs {_megabytes(stage.size)} MB, and {_megabytes(available)} MB are free; its largest part "
        f"is {stage.largest.name} ({_megabytes(stage.largest.size)} MB): {stage.largest.smaller}"
        for stage in plan.stages
        if stage.size > available
    ]
    if plan.disk > free_disk:
        faults.append(
            f"the disk has {_megabytes(free_disk)} MB free, and the run writes up to {_megabytes(plan.disk)} MB"
        )
    return faults


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:,.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"at least {seconds:.0f} s" if seconds < 120 else f"at least {seconds / 60:.0f} min"
