"""`sparsecbm explain` in the terminal: one card for each text.

Words for the explained state are blue and underlined, words against it orange and italic, so a card is readable without
colours. The strongest words and their scores are listed below, for a terminal without styles.
"""

from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from sparsecbm.base.terminal_text import visible
from sparsecbm.cli.printing.tables import share
from sparsecbm.cli.printing.terminal import Terminal, cell
from sparsecbm.display.card import (
    by_contribution,
    explained_concepts,
    outside_words,
    segments,
    signed,
    strongest,
    unread,
)
from sparsecbm.explain.explanation import ConceptExplanation, Explanation, WordScores
from sparsecbm.explain.sufficient_parts import SufficientParts

FOR, AGAINST = "underline dodger_blue2", "italic dark_orange"
BAR = 12  # characters of the longest bar
UNIT_NAMES = {"block": "block", "head": "head", "ffn": "feed-forward part"}
MAX_NAMED = 8  # heads and neurons of a smallest set; `--html` has all


def show_explanation(explanation: Explanation) -> None:
    """Print the card of one text."""
    console = Terminal()
    label = explanation.label
    title = f"{label.name}: {label.state}, {share(label.probabilities[label.state])}"
    console.print(Rule(cell(title), align="left"))
    for line in _notes(explanation):
        console.print(line, style="dim")
    _show_words(console, explanation, label.words)
    console.print()
    console.print(_concepts(explanation))
    shown, folded = explained_concepts(explanation)
    for name, concept in shown:
        console.print()
        other = "" if concept.explained == concept.state else f", explained for {concept.explained}"
        console.print(f"{name}: {concept.state}{other}", style="bold")
        _show_words(console, explanation, concept.words)
        _show_subnetwork(console, concept)
    if folded:
        advice = "`--concept NAME` shows one of them, and `--html` all"
        console.print(f"\n{len(folded)} more concepts contribute less; {advice}", style="dim")
    console.print(f"\n{explanation.origin.method}, model {explanation.origin.model[:12]}", style="dim")


def _notes(explanation: Explanation) -> list[str]:
    lines = []
    if explanation.label.hard is not None:
        hard = explanation.label.hard
        lines.append(f"label from hard concepts: {hard.state}, {share(hard.probabilities[hard.state])}")
    if not explanation.words:
        lines.append("The text has no words: the prediction comes from special tokens alone.")
    if explanation.truncated:
        lines.append("The text is too long for the model; the struck-through part was cut off.")
    if not explanation.origin.masked:
        lines.append("This model has no masks: all concepts share the same dense backbone.")
    return lines


def _show_words(console: Terminal, explanation: Explanation, scores: WordScores) -> None:
    line = Text()
    for part in segments(explanation, scores):
        style = "" if not part.level else FOR if part.level > 0 else AGAINST
        line.append(visible(part.text), f"{style} bold" if abs(part.level) > 2 else style)
    line.append(visible(unread(explanation)), "dim strike")
    console.print(line, soft_wrap=True)
    for direction, sign in (("for it", 1), ("against it", -1)):
        strongest_words = ", ".join(
            f"{visible(word)} {signed(score)}" for word, score in strongest(explanation, scores, sign)
        )
        if strongest_words:
            console.print(f"{direction}: {strongest_words}", style="dim")
    special_tokens = ", ".join(f"{token} {signed(score)}" for token, score in outside_words(explanation, scores))
    gap = f"all words {signed(scores.change)}, off by {signed(scores.gap, 3)} (completeness gap)"
    if explanation.exceeds_tolerance(scores):
        parameters = explanation.origin.parameters
        gap += f", above the tolerance of {share(parameters.tolerance)}: a concept gets at most {parameters.max_steps} "
        gap += "gradients"
    console.print(gap + (f", special tokens {special_tokens}" if special_tokens else ""), style="dim")


def _concepts(explanation: Explanation) -> Table:
    table = Table(box=None, pad_edge=False)
    for column, side in (("concept", "left"), ("predicted", "left"), (f"to {explanation.label.state}", "right")):
        table.add_column(cell(column), justify=side)
    table.add_column("")
    table.add_column("hard", justify="right")
    table.add_row("start: mean training text", "", signed(explanation.label.start), "", "", style="dim")
    for name, concept, length in by_contribution(explanation):
        positive = concept.contribution >= 0
        bar = Text(("█" if positive else "░") * round(BAR * length), "dodger_blue2" if positive else "dark_orange")
        hard = "" if concept.hard_contribution is None else signed(concept.hard_contribution)
        predicted = f"{concept.state}, {share(concept.probabilities[concept.state])}"
        table.add_row(cell(name), cell(predicted), signed(concept.contribution), bar, hard)
    table.add_row("this text", "", signed(explanation.label.end), "", "", style="dim")
    return table


def _show_subnetwork(console: Terminal, concept: ConceptExplanation) -> None:
    subnetwork = concept.subnetwork
    parts = []
    if subnetwork.density is not None:
        parts.append(f"its subnetwork keeps {share(subnetwork.density)} of the masked weights")
    for kind, units in subnetwork.largest.items():
        effects = [
            f"{unit.block}{'' if unit.head is None else f'.{unit.head}'} {signed(unit.effect)}" for unit in units
        ]
        parts.append(f"without {UNIT_NAMES[kind]} {', '.join(effects)}")
    console.print("; ".join(parts or [subnetwork.note or "nothing was ablated"]), style="dim")
    if subnetwork.sufficient is not None:
        for line in _sufficient(concept.state, subnetwork.sufficient):
            console.print(line, style="dim")


def _sufficient(state: str, found: SufficientParts) -> list[str]:
    """The smallest set of parts, and what the model predicts with it, without it and with random sets."""
    of = f"its {found.heads} heads and {found.neurons} neurons"
    if not found.parts:
        return [f"without any of {of} the model predicts {visible(state)}, too: no set of them carries this prediction"]
    names = [
        f"{part.kind} {part.block}.{part.index} {signed(part.effect)}"
        + (f" ({visible(part.word)})" if part.word is not None else "")
        for part in found.parts
    ]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    are = "is" if len(names) == 1 else "are"
    lines = [f"of {of}, {len(names)} {are} enough to predict {visible(state)}: {', '.join(names[:MAX_NAMED])}{more}"]
    for title, trial in (("only these", found.only), ("all but these", found.without)):
        kept = round(trial.random_kept * found.draws)
        lines.append(
            f"{title}: {visible(trial.state)}, {visible(state)} to {share(trial.probability)}; with random ones "
            f"{visible(state)} in {kept} of {found.draws} draws, to {share(trial.random_probability)}"
        )
    return lines
