"""`concepts.yaml` as `concepts suggest` writes it: definitions, with scores and what to edit as comments."""

from pathlib import Path

from sparsecbm.annotate.concept_file import ConceptFile, write_concept_file
from sparsecbm.annotate.discovery.completeness import Completeness
from sparsecbm.annotate.discovery.draft import NEGATIVE, is_template
from sparsecbm.annotate.discovery.suggest import SuggestedConcept, Suggestion
from sparsecbm.base.errors import WriteError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.files import replacing

BROAD = 0.8  # share of the texts; what more of them judge may be the label itself


def check_free(path: Path, replace: bool) -> None:
    """Refuse to replace a file of concepts unless a person asks for it.

    Raises:
        WriteError: the file exists, and `replace` is off.
    """
    if path.exists() and not replace:
        raise WriteError(path, "it exists and may hold your edits; --replace writes a new one and keeps this one aside")


def write_suggestion(path: Path, suggestion: Suggestion, task: str) -> Path | None:
    """Write the chosen concepts; a file that is there is kept beside the new one.

    Returns:
        where the earlier file was kept, if there was one

    Raises:
        WriteError: a file cannot be written.
    """
    earlier = _keep_earlier(path)
    chosen = [concept for concept in suggestion.concepts if concept.chosen]
    notes = {concept.definition.name: _note(concept, suggestion) for concept in chosen}
    file = ConceptFile(task, suggestion.definitions)
    write_concept_file(path, file, "\n".join(_head(suggestion, task)), notes)
    return earlier


def describe_stop(completeness: Completeness, count: int) -> str:
    """What the first concepts know of the label, in a sentence."""
    if not completeness.stop:
        return (
            f"No candidate tells anything of the label on held-out texts. The first {count} are a draft, and nothing "
            "speaks for them but that texts mention them."
        )
    step = completeness.steps[count - 1]
    one = count == 1
    if step.completeness is None:
        text = (
            "On these texts the black box is not clearly better than the majority, so completeness cannot be measured"
        )
    else:
        low, high = step.completeness_interval or [float("nan")] * 2
        text = (
            f"{count} concept{'' if one else 's'} explain{'s' if one else ''} {step.completeness:.0%} (95 % interval "
            f"{low:.0%} to {high:.0%}) of what the black box knows"
        )
        if step.completeness > 1:
            text += ", which is linear, so it can know less than they do"
    if count < len(completeness.steps):
        following = completeness.steps[count]
        text += f"; one more concept would add {100 * following.gain:+.1f} points of accuracy (standard error "
        text += f"{100 * following.gain_error:.1f})"
    return text.rstrip(".") + "."


def describe_broad(suggestion: Suggestion) -> str | None:
    """Which of the chosen concepts nearly all texts judge, in a sentence; None if there is no such concept."""
    broad = [
        f"{concept.coverage:.0%} of the texts have a clause close to {concept.definition.name}"
        for concept in suggestion.concepts
        if concept.chosen and concept.coverage > BROAD and NEGATIVE in concept.definition.states
    ]
    if not broad:
        return None
    return f"{', '.join(broad)}: read some of them. What only praises or blames repeats the label, and is no concept."


def _head(suggestion: Suggestion, task: str) -> list[str]:
    count = len(suggestion.definitions)
    lines = [
        "Concepts that the training texts suggest. Edit names, states and definitions, remove what is no concept, and",
        "add what is missing. Then run `sparsecbm concepts check`.",
        "Definitions marked TEMPLATE only repeat key words: say in your own words when a text has the state.",
        "",
        f"{suggestion.texts} texts of {suggestion.groups} groups, {suggestion.clauses} clauses.",
        describe_stop(suggestion.completeness, count),
    ]
    broad = describe_broad(suggestion)
    if broad:
        lines.append(broad)
    if not task:
        lines.append("task: say in one sentence what the texts are; language models are told.")
    return lines


def _note(concept: SuggestedConcept, suggestion: Suggestion) -> str:
    definition = concept.definition
    lines = []
    if any(is_template(sentence) for sentence in definition.states.values()):
        lines.append("TEMPLATE: edit the definitions, and check the states of the examples, which are guesses.")
    lines.append(f"key words: {', '.join(concept.terms)}")
    lines.append(f"{concept.coverage:.0%} of the texts have a clause close to it")
    if NEGATIVE in definition.states:
        low, high = suggestion.poles.low, suggestion.poles.high
        bad, good = (low, high) if suggestion.poles.praise_is_high else (high, low)
        guess = (
            " (a guess: `labels` in params.yaml, the worst first, would tell it)" if suggestion.poles.guessed else ""
        )
        lines.append(f"Negative goes with the label {bad}, Positive with {good}{guess}.")
        lines.append("Mean degree of the texts by label, from -1 (Negative) to 1 (Positive):")
        lines.append("  " + ", ".join(f"{name}: {degree:+.2f}" for name, degree in concept.degree_at.items()))
    return "\n".join(lines)


def _keep_earlier(path: Path) -> Path | None:
    if not path.exists():
        return None
    number = 1
    while (kept := path.with_name(f"{path.stem}.before-{number}{path.suffix}")).exists():
        number += 1
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WriteError(path, system_fault(error) or str(error)) from None
    with replacing(kept) as temporary:
        temporary.write_bytes(content)
    return kept
