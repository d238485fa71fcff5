"""The heads and neurons of each concept's subnetwork, the strongest first."""

from collections.abc import Mapping

from sparsecbm.report.tables import Table, number


def part_table(parts: Mapping, heads: int | None = None, neurons: int | None = None) -> Table:
    """A row for each head and neuron.

    Args:
        parts: `parts` of `metrics/explain.json`
        heads, neurons: the most rows of each concept; by default all that were measured
    """
    rows = [
        (name, f"{kind} {part['block']}.{part['index']}", ", ".join(part["words"]), number(part["effect"]),
         number(part["interval"]), f"{part['exclusive']:.0%}")
        for name, by_kind in parts.items()
        for kind, listed in (("head", by_kind["heads"][:heads]), ("neuron", by_kind["neurons"][:neurons]))
        for part in listed
    ]  # fmt: skip
    shown = "the strongest heads and neurons" if heads or neurons else "all heads, and the strongest neurons"
    header = ("concept", "part", "fires on", "effect", "95 %", "its own")
    return Table(f"Of each subnetwork: {shown}", header, tuple(rows), 2)
