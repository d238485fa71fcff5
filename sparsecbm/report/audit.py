"""What an auditor reads of a run on one page: model and data, how good, how specific, how correctable, and limits.

It only collects figures that the stages wrote.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json_object, sha256_file
from sparsecbm.base.outputs import CHECKSUMS
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_manifest
from sparsecbm.plots.audit import AuditedScore, draw_audit_page
from sparsecbm.report.data_name import data_name
from sparsecbm.report.run_page import read_metrics

Rows = tuple[tuple[str, str], ...]  # (name, value)
NEEDED = ("prune", "explain", "intervene", "evaluate")
LIMITS = (
    "Scores hold for texts like those of the split. `sparsecbm drift` says whether new texts are.",
    "The label is computed from the concepts alone. What no concept holds, the model cannot use or explain.",
    "A mask shows which weights serve a concept. It does not show how the network computes it.",
    "Patches were tried on texts that the model misread, with the state that people gave.",
)


@dataclass(frozen=True)
class Audit:
    """The content of the page.

    Attributes:
        title: the name of the data
        facts: (name, value) of what identifies model and data
        scores: the label first
        findings: (question, answer) on masks, explanations and interventions
        limits: what the figures do not say
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    scores: tuple[AuditedScore, ...]
    findings: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]


def audit(workspace: Workspace) -> Audit:
    """Collect the page of the last run.

    Raises:
        DataError: a stage has not run, or the model has no concepts to report on.
    """
    missing = [stage for stage in NEEDED if not workspace.metrics(stage).is_file()]
    if missing:
        raise DataError(f"metrics/{missing[0]}.json does not exist; `sparsecbm run` finishes the pipeline first")
    manifest, metrics = read_manifest(workspace.annotated), read_metrics(workspace)
    if metrics["prune"].get("chosen") is None:
        raise DataError("the model is of mode `standard`: it has no concepts, so there is nothing to audit")
    unmeasured = metrics["evaluate"].get("unmeasured") or {}
    limits = LIMITS
    if unmeasured:
        limits += (f"Not measured, since people labelled too few texts: {', '.join(unmeasured)}.",)
    scores = _scores(metrics["evaluate"], unmeasured)
    return Audit(data_name(manifest), _facts(workspace, manifest, metrics), scores, _findings(metrics), limits)


def write_audit_page(workspace: Workspace, target: Path) -> None:
    """Write the page of the last run as a PDF. The same run gives the same bytes.

    Raises:
        DataError: as `audit`; or the name of the file does not end with .pdf.
    """
    if target.suffix.lower() != ".pdf":
        raise DataError(f"{target} does not end with .pdf; name a PDF file")
    page = audit(workspace)
    draw_audit_page(target, page.title, page.facts, page.scores, page.findings, page.limits)


def _facts(workspace: Workspace, manifest: Mapping[str, Any], metrics: Mapping[str, Mapping]) -> Rows:
    checksums = workspace.sparse / CHECKSUMS
    if not checksums.is_file():
        raise DataError(f"{checksums} does not exist; `sparsecbm run` makes the model")
    config = read_json_object(workspace.sparse / "config.json")
    rows = ", ".join(f"{split['name']} {split['rows']:,}" for split in manifest["splits"])
    density = metrics["prune"]["chosen"]["density"]
    concepts = [concept["name"] for concept in manifest["vocabulary"]["concepts"]]
    return (
        ("model", f"sha256 of {CHECKSUMS}: {sha256_file(checksums)}"),
        (
            "network",
            f"{config['backbone']['model_type']}; a subnetwork of {density:.0%} of the masked weights a concept",
        ),
        ("data", f"sha256 {manifest['sha256']}; licence: {manifest.get('licence') or 'not stated'}"),
        ("texts", rows),
        ("label", manifest["vocabulary"]["label"]["name"]),
        (f"{len(concepts)} concepts", ", ".join(concepts)),
    )


def _scores(evaluate: Mapping[str, Any], unmeasured: Container[str]) -> tuple[AuditedScore, ...]:
    words, dense = evaluate.get("bag_of_words") or {}, evaluate.get("dense") or {}

    def score(name: str, of: Mapping[str, Any], word: float | None, before: Mapping[str, Any]) -> AuditedScore:
        low, high = of["accuracy_interval"]
        return AuditedScore(name, of["accuracy"], (low, high), of["majority"], word, before.get("accuracy"))

    scores = [score("label", evaluate["label"], words.get("label"), dense.get("label", {}))]
    scores += [
        score(name, of, words.get("concepts", {}).get(name), dense.get("concepts", {}).get(name, {}))
        for name, of in evaluate["concepts"].items()
        if name != "mean" and name not in unmeasured
    ]
    return tuple(scores)


def _findings(metrics: Mapping[str, Mapping]) -> Rows:
    chosen, intervene = metrics["prune"]["chosen"], metrics["intervene"]
    findings = [
        ("Under the masks of others, a concept is predicted worse by", _points(chosen["swap"]["gap"]["mean"])),
        ("A new probe under the masks of others is worse by", _points(chosen["probe"]["gap"]["mean"])),
        (
            "Without its exclusive weights, a concept loses more than the others by",
            _points(chosen["ablation"]["selectivity"]["mean"]),
        ),
    ]
    own = chosen.get("own_weights")
    if own:
        earned = [name for name, judged in own.items() if judged["earned"]]
        answer = f"{len(earned)} of {len(own)}{': ' if earned else ''}{', '.join(earned)}"
        findings.append(("Concepts that have earned weights of their own", answer))
    method = metrics["explain"].get("method")
    words = metrics["explain"].get("faithfulness", {}).get("methods", {}).get(method, {}).get("comprehensiveness", {})
    for operator, by_concept in list(words.items())[:1]:
        excess, (low, high) = by_concept["mean"]["excess"], by_concept["mean"]["excess_interval"]
        question = f"Without the words of its explanation ({operator}), a state's probability falls further than"
        findings.append((f"{question} without random words by", f"{excess:.2f} ({low:.2f} to {high:.2f})"))
    patches = intervene.get("oracle_patches", {})
    if patches.get("attempts"):
        low, high = patches["repaired_interval"]
        repaired = f"{patches['repaired']:.0%} ({low:.0%} to {high:.0%})"
        findings.append(
            (
                f"Of {patches['attempts']} wrong predictions, patches repair",
                f"{repaired}, and harm {patches['harm']:.1%} of right ones",
            )
        )
    failed = ", ".join(gate["name"] for gate in intervene.get("gates", []) if not gate["passed"])
    verdict = f"{intervene['verdict']}: {failed}" if failed else intervene["verdict"]
    findings.append(("Verdict of the tests of interventions", verdict))
    return tuple(findings)


def _points(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "not measured"
    low, high = estimate["interval"]
    return f"{100 * estimate['value']:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
