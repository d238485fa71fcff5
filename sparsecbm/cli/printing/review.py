"""A review in the terminal: texts, states and their keys, and what labels bought."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.human_labels import Decision
from sparsecbm.annotate.review.outlook import ConceptProgress, Outlook, concept_progress, outlook
from sparsecbm.base.terminal_text import one_line
from sparsecbm.cli.printing.tables import figures, share
from sparsecbm.cli.printing.terminal import Terminal, cell, say
from sparsecbm.cli.state_keys import COMMANDS, state_keys

if TYPE_CHECKING:
    from sparsecbm.annotate.review.queue import Question, ReviewQueue

CANNOT_DECIDE = "cannot be decided"


def show_start(queue: "ReviewQueue", split: str, rows: Sequence[ConceptProgress]) -> None:
    """Print how much of a split is labelled, and in which order it comes."""
    cells = sum(row.cells for row in rows)
    say(f"{split}: {sum(row.labelled for row in rows):,} of {cells:,} labels are there. You are {queue.author!r}.")
    if queue.at_random:
        say(f"{split}: texts are drawn at random, so that scores on them are unbiased.")
    elif queue.texts.machines:
        say("Texts on which machines are unsure come first. What machines say is hidden; m shows it.")
    else:
        say("There are no machine labels, so texts are spread over labels and groups.")
    say("Each decision is on disk at once; q ends the review.")


def show_text(question: "Question") -> None:
    """Print a text, wrapped."""
    console = Terminal()
    console.rule(characters="-")
    console.print(question.text, style="bold")


def show_concept(concept: ConceptDefinition) -> None:
    """Print the states of a concept with their keys and definitions."""
    console = Terminal()
    console.print(Text(f"\n{one_line(concept.name)}", "cyan"), one_line(concept.description))
    for state, keys in state_keys(tuple(concept.states)).items():
        definition = one_line(concept.states[state])
        console.print(
            Padding(f"[{' '.join(keys)}] {one_line(state)}{': ' if definition else ''}{definition}", (0, 0, 0, 2))
        )
    console.print(
        Padding("  ".join(f"[{key}] {meaning}" for key, meaning in COMMANDS.items()), (0, 0, 0, 2)), style="dim"
    )


def show_decision(concept: str, state: str | None) -> None:
    """Print a decision."""
    say(f"  {one_line(concept)}: {CANNOT_DECIDE if state is None else one_line(state)}")


def show_skipped(concept: str) -> None:
    """Print that a concept was left out."""
    say(f"  {one_line(concept)}: skipped; it comes again in the next review")


def show_undone(decision: Decision | None) -> None:
    """Print what was taken back."""
    if decision is None:
        say("  there is nothing to take back")
    else:
        state = CANNOT_DECIDE if decision.state is None else one_line(decision.state)
        say(f"  taken back: {one_line(decision.concept)}: {state}")


def show_wrong_key(key: str, keys: dict[str, str]) -> None:
    """Print which keys there are."""
    say(f"  {one_line(key)!r} is no key here; press one of {' '.join([*keys, *COMMANDS])}")


def show_machines(queue: "ReviewQueue", question: "Question", concept: ConceptDefinition) -> None:
    """Print what each machine says about a cell, and why the text comes now."""
    for source, states in queue.machine_states(question.key, concept.name).items():
        listed = ", ".join(f"{one_line(state)} {probability:.2f}" for state, probability in states.items())
        say(f"  {one_line(source)}: {listed or 'no label'}")
    say(f"  this text comes now because of: {question.reason}")


def show_end(queue: "ReviewQueue") -> None:
    """Print that nothing is left."""
    left = "of these concepts is left to label" if not queue.session else "more is left to label"
    say(f"nothing {left}, but for what you skipped or others are reading now")


def show_progress(queue: "ReviewQueue", start: Sequence[ConceptProgress]) -> None:
    """Print coverage, agreement with machines, and what the next ten minutes will buy.

    Args:
        start: where the concepts stood when the review began
    """
    agreement = ("machines agree", "95 %", "kappa", "at the start") if queue.texts.machines else ()
    table = figures("", "labelled", "cells", "here", *agreement)
    for row, before in zip(concept_progress(queue), start, strict=True):
        cells = f"{row.labelled:,}", f"{row.cells:,}", f"+{row.session:,}"
        if agreement:
            cells = *cells, *_agreement(row), _kappa(row), _kappa(before)
        table.add_row(cell(row.concept), *cells)
    Terminal().print(table)
    for line in _outlook_lines(outlook(queue), queue.at_random):
        say(line)


def _agreement(row: ConceptProgress) -> tuple[str, str]:
    agreement = row.agreement
    if not agreement.cells:
        return "", ""
    low, high = agreement.interval
    return f"{share(agreement.accuracy)} of {agreement.cells}", f"{share(low)} to {share(high)}"


def _kappa(row: ConceptProgress) -> str:
    return "" if math.isnan(row.agreement.kappa) else f"{row.agreement.kappa:.2f}"


def _outlook_lines(outlook: Outlook, at_random: bool) -> list[str]:
    if outlook.pace is None:
        return ["Your pace is measured after a few more labels."]
    lines = [f"You give {outlook.pace:.1f} labels a minute, so ten more minutes are about {outlook.labels} labels."]
    if at_random:
        before, after = 100 * outlook.half_width, 100 * outlook.half_width_after
        return [*lines, f"With them an accuracy of a concept is known to ±{after:.1f} points instead of ±{before:.1f}."]
    if outlook.kappa is None:
        return [*lines, "Machines have not labelled these texts yet: run `sparsecbm annotate`."]
    lines.append(
        f"If machines are as right as they say, the labels in force have an expected kappa of {outlook.kappa:.3f}, and "
        f"these labels add {outlook.gain:.3f}."
    )
    if outlook.gain_interval is None:
        return [*lines, "How right machines are is not known yet: too few of their cells have a label of a person."]
    low, high = outlook.gain_interval
    return [
        *lines,
        f"If they are as right as on the cells that people labelled, these labels add {low:.3f} to {high:.3f}.",
    ]
