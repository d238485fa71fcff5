"""The data card: where an annotated table comes from, who labelled its concepts, and how far these labels agree."""

from collections.abc import Mapping, Sequence
from typing import Any

from sparsecbm.base.markdown import markdown, markdown_code
from sparsecbm.display.card_cells import NOT_MEASURED, bounds, number, percent, quoted, table, yaml_header
from sparsecbm.display.card_facts import CardFacts


def data_card(facts: CardFacts, redacted: Sequence[str]) -> str:
    """The card of the splits in `data/annotated`, as Markdown with a header for hubs. It holds no text of the data.

    Args:
        redacted: kinds of personal data that are replaced before a text leaves the machine
    """
    manifest, labels = facts.manifest, facts.metrics.get("annotate", {})
    sections = [_header(facts), _origin(manifest), _states(manifest, labels), _annotators(labels, redacted)]
    return "\n".join([*sections, _agreement(labels)])


def _header(facts: CardFacts) -> str:
    licence = str(facts.manifest.get("licence") or "unknown")
    header: dict[str, Any] = {"license": "unknown" if licence == "not stated" else licence.lower()}
    if facts.card.languages:
        header["language"] = quoted(facts.card.languages)
    header |= {"task_categories": ["text-classification"], "tags": ["concept-bottleneck", "sparsecbm"]}
    return yaml_header(header)


def _origin(manifest: Mapping) -> str:
    files = [(each["name"], f"{each['rows']:,}", each["sha256"]) for each in manifest.get("files", ())]
    splits = [(each["name"], f"{each['rows']:,}", each["sha256"]) for each in manifest["splits"]]
    return f"""# Texts with labels of concepts

Source {markdown_code(manifest["source"])}, licence {markdown(manifest.get("licence") or "not stated")}. The table holds
the texts as the source has them. `sparsecbm forget` removes a person's texts from a workspace, not from a copy of the
table.

{table(("file of the source", "rows", "sha256"), files)}
{table(("split", "rows", "sha256"), splits)}"""


def _states(manifest: Mapping, labels: Mapping) -> str:
    """Shares of states by concept and split, with who labelled them."""
    parts = []
    for concept in manifest["vocabulary"]["concepts"]:
        rows = []
        for split, summary in labels.get("splits", {}).items():
            found = summary[concept["name"]]
            total = sum(found["states"].values()) + found["missing"]
            shares = [percent(found["states"][state] / total) if total else NOT_MEASURED for state in concept["states"]]
            sources = ", ".join(f"{name} {count:,}" for name, count in found["sources"].items())
            blank = percent(found["missing"] / total) if total else NOT_MEASURED
            confidence = found["mean_confidence"]
            rows.append((split, *shares, blank, sources, "none stated" if confidence is None else number(confidence)))
        header = ("split", *concept["states"], "no state", "labels by", "mean confidence")
        parts.append(f"Concept {markdown_code(concept['name'])}:\n\n{table(header, rows)}")
    return "\n".join(["## States of concepts\n", *parts])


def _annotators(labels: Mapping, redacted: Sequence[str]) -> str:
    machines = labels.get("machines") or {}
    rows = [
        (name, f"{each['labels']:,}", ", ".join(each["models"]), ", ".join(each["prompts"]))
        for name, each in machines.items()
    ]
    combined = f"Labels of several machines were combined by {markdown_code(labels['combine'])}." if machines else ""
    kinds = ", ".join(redacted)
    shown = f"{markdown(kinds)} were replaced" if kinds else "nothing was replaced"
    leaving = f"In texts that left this machine for a label, {shown} (`annotate.redact`)." if machines else ""
    who = (
        table(("machine", "labels", "model", "hash of prompt and options"), rows) if rows else "No machine labelled.\n"
    )
    people = "People labelled as the source says or in `data/annotations/human.jsonl`; their labels are never replaced."
    return f"## Annotators\n\n{people}\n{combined}\n{leaving}\n\n{who}".replace("\n\n\n\n", "\n\n")


def _agreement(labels: Mapping) -> str:
    quality, noise = labels.get("quality"), labels.get("noise") or {}
    parts = ["## Quality of the labels\n"]
    if quality:
        rows = [
            (concept, machine, f"{figures['texts']:,}", *_figures(figures))
            for concept, found in quality["concepts"].items()
            for machine, figures in found["against_people"].items()
            if figures
        ]
        header = ("concept", "machine", "texts", "agreement with people", "95 %", "kappa", "calibration error")
        parts.append(table(header, rows))
    else:
        parts.append(f"Agreement between people and machines is {NOT_MEASURED}: no text has labels of both.\n")
    rows = [
        (concept, kind, f"{each['cells']:,}", each["judge"], *_noise(each))
        for concept, kinds in noise.items()
        for kind, each in kinds.items()
        if each
    ]
    if rows:
        header = ("concept", "labels of", "labels", "judge", "accuracy of the judge", "probably wrong")
        parts.append(table(header, rows))
    return "\n".join(parts)


def _figures(agreement: Mapping) -> tuple[str, ...]:
    accuracy, interval = number(agreement["accuracy"]), bounds(agreement["accuracy_interval"])
    return accuracy, interval, number(agreement["kappa"]), number(agreement["calibration_error"])


def _noise(estimate: Mapping) -> tuple[str, str]:
    return number(estimate["judge_accuracy"]), percent(estimate["wrong_share"], 1)
