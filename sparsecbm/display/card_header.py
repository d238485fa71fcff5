"""The YAML header of a model card, which hubs read: licence, base model, data sets and results."""

from typing import Any

from sparsecbm.display.card_cells import quoted, yaml_header
from sparsecbm.display.card_facts import CardFacts
from sparsecbm.model.wheels import WHEELS

TAGS = ("text-classification", "concept-bottleneck", "interpretability", "sparsecbm")
TASK = "text-classification"
UNSTATED = "unknown"  # as hubs spell it


def card_header(facts: CardFacts) -> str:
    """The header between its two lines of dashes. A figure that was not measured has no entry."""
    header: dict[str, Any] = {"license": (facts.card.licence or UNSTATED).lower()}
    if facts.card.languages:
        header["language"] = quoted(facts.card.languages)
    header |= {"library_name": "sparsecbm", "pipeline_tag": TASK, "tags": list(TAGS)}
    base = hub_backbone(facts.backbone)
    if base:
        header["base_model"] = base
    if facts.data_set:
        header["datasets"] = [facts.data_set]
    results = _results(facts)
    if results:
        header["model-index"] = [{"name": "sparsecbm", "results": results}]
    return yaml_header(header)


def hub_backbone(backbone: str) -> str:
    """The name of a backbone on the hub; empty for a local folder, or where it is unknown.

    Args:
        backbone: as `model.backbone` names it
    """
    if backbone.startswith("wheel:"):
        wheel = WHEELS.get(backbone.removeprefix("wheel:"))
        return wheel.original if wheel else ""
    name = backbone.partition("@")[0]
    return name if name.count("/") == 1 and not name.startswith((".", "/", "~")) else ""


def _results(facts: CardFacts) -> list[dict[str, Any]]:
    scores = facts.metrics.get("evaluate", {})
    label, concepts = scores.get("label"), (scores.get("concepts") or {}).get("mean")
    figures = [
        ("accuracy", "accuracy of the label", (label or {}).get("accuracy")),
        ("f1", "macro F1 of the label", (label or {}).get("macro_f1")),
        ("accuracy", "mean accuracy of the concepts", (concepts or {}).get("accuracy")),
    ]
    metrics = [{"type": kind, "name": name, "value": value} for kind, name, value in figures if value is not None]
    if not metrics:
        return []
    source = str(facts.manifest.get("source", "unknown"))
    data = {"name": facts.data_set or source, "type": facts.data_set or source, "split": scores.get("split", "test")}
    return [{"task": {"type": TASK}, "dataset": data, "metrics": metrics}]
