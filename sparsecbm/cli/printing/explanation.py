"""`sparsecbm explain` in the terminal: one card a text.

Blue underlined words speak for what is explained, orange italic ones against it, so that a card can be read without
colours; the strongest are named below with their scores, for a terminal without any styles.
"""

import re

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from sparsecbm.cli.printing.tables import plain, share
from sparsecbm.display.card import by_contribution, segments, signed, strongest, unread
from sparsecbm.explain.explanation import ConceptExplanation, Explanation, WordScores

FOR, AGAINST = "underline dodger_blue2", "italic dark_orange"
BAR = 12  # characters of the longest bar
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a text must not command the terminal


def show_explanation(found: Explanation) -> None:
    """Print the card of one text."""
    console = Console(highlight=False)
    label = found.label
    console.print(Rule(Text(f"{label.name}: {label.state}, {share(label.probabilities[label.state])}"), align="left"))
    for line in _notes(found):
        console.print(line, style="dim", markup=False)
    _show_words(console, found, label.words)
    console.print()
    console.print(_concepts(found))
    for name, concept in found.concepts.items():
        if concept.words is not None:
            console.print()
            asked = "" if concept.explained == concept.state else f", explained for {concept.explained}"
            console.print(f"[bold]{plain(name)}: {plain(concept.state)}{plain(asked)}[/]")
            _show_words(console, found, concept.words)
            _show_subnetwork(console, concept)
    console.print(f"\n{found.origin.method}, model {found.origin.model[:12]}", style="dim", markup=False)


def _notes(found: Explanation) -> list[str]:
    lines = []
    if found.label.hard is not None:
        bare = found.label.hard
        lines.append(f"from the bare states alone: {bare.state}, {share(bare.probabilities[bare.state])}")
    if not found.words:
        lines.append("The model read no word in this text: what it says comes from special tokens alone.")
    if found.truncated:
        lines.append("The text is longer than the model reads; what is struck through had no part in this.")
    if not found.origin.masked:
        lines.append("This model has no masks: every concept is read through the same dense backbone.")
    return lines


def _show_words(console: Console, found: Explanation, scores: WordScores) -> None:
    line = Text()
    for part in segments(found, scores):
        style = "" if not part.level else FOR if part.level > 0 else AGAINST
        line.append(_harmless(part.text), f"{style} bold" if abs(part.level) > 2 else style)
    line.append(_harmless(unread(found)), "dim strike")
    console.print(line, soft_wrap=True)
    for said, sign in (("for it", 1), ("against it", -1)):
        named = ", ".join(f"{_harmless(word)} {signed(score)}" for word, score in strongest(found, scores, sign))
        if named:
            console.print(f"{said}: {named}", style="dim", markup=False)
    apart = ", ".join(
        f"{token} {signed(score)}"
        for token, score in zip(found.special, scores.special, strict=True)
        if round(score, 2)
    )
    gap = f"all words {signed(scores.change)}, completeness gap {signed(scores.gap, 3)}"
    if found.exceeds_tolerance(scores):
        gap += f", above the tolerance of {share(found.origin.parameters.tolerance)}"
    console.print(gap + (f", apart from words {apart}" if apart else ""), style="dim", markup=False)


def _concepts(found: Explanation) -> Table:
    table = Table(box=None, pad_edge=False)
    for column, side in (("concept", "left"), ("read as", "left"), (f"to {found.label.state}", "right")):
        table.add_column(plain(column), justify=side)
    table.add_column("")
    table.add_column("bare", justify="right")
    table.add_row("mean training text", "", signed(found.label.start), "", "", style="dim")
    for name, concept, length in by_contribution(found):
        speaks_for = concept.contribution >= 0
        bar = Text(("█" if speaks_for else "░") * round(BAR * length), "dodger_blue2" if speaks_for else "dark_orange")
        bare = "" if concept.hard_contribution is None else signed(concept.hard_contribution)
        read = f"{concept.state}, {share(concept.probabilities[concept.state])}"
        table.add_row(plain(name), plain(read), signed(concept.contribution), bar, bare)
    table.add_row("this text", "", signed(found.label.end), "", "", style="dim")
    return table


def _show_subnetwork(console: Console, concept: ConceptExplanation) -> None:
    of = concept.subnetwork
    parts = [] if of.density is None else [f"its subnetwork keeps {share(of.density)} of the weights under masks"]
    for kind, units in of.largest.items():
        named = [f"{each.block}{'' if each.head is None else f'.{each.head}'} {signed(each.effect)}" for each in units]
        parts.append(f"without {kind} {', '.join(named)}")
    console.print("; ".join(parts or [of.note or "nothing was ablated"]), style="dim", markup=False)


def _harmless(text: str) -> str:
    return _CONTROL.sub("�", text)
