"""The sections of a model card that hold figures: data, scores, specificity, patches and limits.

Each takes what stages measured, and says so where something was not measured.
"""

from collections.abc import Mapping, Sequence

from sparsecbm.base.markdown import markdown, markdown_code
from sparsecbm.display.card_cells import NOT_MEASURED, bounds, number, percent, table
from sparsecbm.display.card_facts import CardFacts
from sparsecbm.display.card_header import hub_backbone
from sparsecbm.model.wheels import WHEELS

LEAST_GAIN = 0.05  # a label head that gains more from probabilities than this is named among the limits
_MEASURES = {"swap": ("swap", "gap"), "probe": ("probe", "gap"), "ablation": ("ablation", "selectivity")}


def use_section(facts: CardFacts) -> str:
    """What the model is for, and what it is not for, as the owner states it."""
    stated = facts.card
    use = markdown(stated.intended_use) or "The owner states no intended use (`card.intended_use`)."
    beyond = markdown(stated.out_of_scope) or "The owner names no use beyond the scope (`card.out_of_scope`)."
    return f"""## Intended use

{use}

## Out of scope

{beyond}

For every model of this kind: texts of another domain or language than the data below, texts that are longer than the
limit above, and decisions about people that nobody checks.
"""


def data_section(facts: CardFacts) -> str:
    """Source, licence, rows by split, and shares of the label's states."""
    manifest = facts.manifest
    if not manifest:
        return "## Data\n\nNot known to this card: it was written from the model alone.\n"
    label = manifest["vocabulary"]["label"]
    balance = facts.measured("validate", "balance") or {}
    rows = []
    for split in manifest["splits"]:
        counts = (balance.get(split["name"]) or {}).get("label")
        rows.append((split["name"], f"{split['rows']:,}", *_shares(counts, label["states"])))
    return f"""## Data

Source {markdown_code(manifest["source"])}, licence {markdown(manifest.get("licence") or "not stated")}. Splits that
the source does not have are held out by group, so that rows of one group are in one split. The shares are those of the
label {markdown_code(label["name"])}. The data card of the run, `reports/data-card.md`, describes the labels of the
concepts.

{table(("split", "rows", *label["states"]), rows)}"""


def score_section(facts: CardFacts) -> str:
    """Scores with intervals beside baselines, on the split that the run was evaluated on."""
    scores = facts.metrics.get("evaluate")
    if not scores or not scores.get("label"):
        return f"## Scores\n\nScores are {NOT_MEASURED} for this card.\n"
    rows = [("this model", *_score(scores["label"]), *_score((scores.get("concepts") or {}).get("mean")))]
    if scores.get("label_hard"):
        rows.append(("this model, from states alone", *_score(scores["label_hard"]), "", ""))
    dense = scores.get("dense") or {}
    dense_concepts = _score((dense.get("concepts") or {}).get("mean"))
    rows.append(("before pruning (dense)", *_score(dense.get("label")), *dense_concepts))
    words = scores.get("bag_of_words") or {}
    rows.append(("bag of words", number(words.get("label")), "", number((words.get("concepts") or {}).get("mean")), ""))
    rows.append(("the most frequent state", number(scores["label"].get("majority")), "", _majority(scores), ""))
    concepts = [
        (name, *_score(score), number(score.get("majority")), number(score.get("calibration_error")))
        for name, score in (scores.get("concepts") or {}).items()
        if name != "mean"
    ]
    return f"""## Scores

On {scores.get("texts", 0):,} texts of the split {markdown_code(scores.get("split", "test"))}, from which nothing was
learnt. Intervals are 95 %, by bootstrap over groups. The calibration error of the label is
{number(scores["label"].get("calibration_error"))}.

{table(("", "label accuracy", "95 %", "mean concept accuracy", "95 %"), rows)}
{table(("concept", "accuracy", "95 %", "most frequent state", "calibration error"), concepts)}"""


def specificity_section(facts: CardFacts) -> str:
    """How far each mask is its concept's own: beside other masks, random masks and meaningless concepts."""
    record = facts.metrics.get("prune")
    if not record or not record.get("chosen", {}).get("swap"):
        return f"## Specificity of the subnetworks\n\nIt is {NOT_MEASURED} for this card.\n"
    chosen, over, nulls = record["chosen"], record.get("excess"), record.get("nulls")
    figures = over or {measure: (chosen.get(part) or {}).get(key) or {} for measure, (part, key) in _MEASURES.items()}
    names = list(chosen.get("density_by_concept") or figures["swap"])
    rows = [_specificity_row(name, figures, nulls, chosen.get("own_weights")) for name in names]
    compared = "More than under random masks" if over else "Against the masks of the other concepts"
    missing = []
    if not over:
        missing.append("random masks (`prune.control`)")
    if not nulls:
        missing.append("concepts without meaning (`prune.null_concepts`)")
    absent = f" The comparison with {' and with '.join(missing)} is {NOT_MEASURED}." if missing else ""
    header = ["concept", *(cell for measure in _MEASURES for cell in (measure, "95 %"))]
    header += ["largest p against meaningless concepts", "own weights needed and better"]
    return f"""## Specificity of the subnetworks

{compared}, on {chosen.get("texts", 0):,} texts of the validation split. Swap: the accuracy that a concept loses under
the masks of others. Probe: how much more accurate a fresh probe is behind its own mask than behind those of others.
Ablation: how much more accuracy it loses than others do without the weights that it alone keeps.{absent}

{table(header, rows)}"""


def patch_section(facts: CardFacts) -> str:
    """What patches of masks fix and harm, as the stage `intervene` measured it."""
    patches = facts.measured("intervene", "oracle_patches")
    if not patches:
        return f"## Side effects of patches\n\nThey are {NOT_MEASURED} for this card.\n"
    near = patches.get("neighbours") or {}
    return f"""## Side effects of patches

Of {patches.get("attempts", 0):,} wrong predictions, patches of a mask repaired {percent(patches.get("repaired"))}
(95 %: {bounds(patches.get("repaired_interval"))}). On texts that had no part in making it, a patch harmed
{percent(patches.get("harm"), 2)} of the correct predictions on average, and {percent(patches.get("within_harm"))} of
the patches stayed within the limit. Of the most similar texts they fixed {near.get("fixed", 0):,} and harmed
{near.get("harmed", 0):,}. The right states were taken from the annotation.
"""


def limit_section(facts: CardFacts, bottleneck: bool) -> str:
    """Limits that were measured, and those of the method."""
    limits = ["A subnetwork shows what the model uses, not what is true of the text or of its author."]
    if bottleneck:
        limits.append("The label knows the text through these concepts only; what they lack, it cannot tell.")
    gain = facts.measured("evaluate", "leakage", "accuracy")
    if gain is None:
        limits.append(f"Whether probabilities of concepts tell the label more than the states is {NOT_MEASURED}.")
    else:
        interval = bounds(facts.measured("evaluate", "leakage", "interval"))
        much = "; this is leakage" if gain > LEAST_GAIN else ""
        limits.append(f"Probabilities of concepts add {gain:.3f} (95 %: {interval}) to the label's accuracy{much}.")
    own = facts.measured("prune", "chosen", "own_weights") or {}
    unearned = [markdown(name) for name, found in own.items() if not found.get("earned")]
    if unearned:
        limits.append(f"For {', '.join(unearned)}, it is not shown that the own weights are needed and better.")
    for name, fault in (facts.measured("evaluate", "unmeasured") or {}).items():
        limits.append(f"{markdown(name)} is {NOT_MEASURED}: {markdown(fault)}.")
    subgroups = facts.measured("evaluate", "subgroups")
    limits.append(
        "Scores by subgroup are in `metrics/evaluate.json`."
        if subgroups
        else f"Differences between groups of texts or people are {NOT_MEASURED} (`evaluate.subgroups`)."
    )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits) + "\n"


def licence_section(facts: CardFacts) -> str:
    """Licences of the model, of the backbone and of the data."""
    model = markdown(facts.card.licence) if facts.card.licence else "unstated (`card.licence`)"
    wheel = WHEELS.get(facts.backbone.removeprefix("wheel:"))
    name = hub_backbone(facts.backbone)
    known = f"{wheel.licence} (of {markdown(name)})" if wheel and wheel.licence else ""
    other = f"as its page says: {markdown(name)}" if name else "not known here"
    data = markdown(facts.manifest.get("licence") or "not stated") if facts.manifest else "not known here"
    return f"""## Licences

- model: {model}
- backbone: {known or other}
- data: {data}
"""


def _specificity_row(name: str, figures: Mapping, nulls: Mapping | None, own: Mapping | None) -> tuple[str, ...]:
    cells = [name]
    for measure in _MEASURES:
        estimate = (figures.get(measure) or {}).get(name) or {}
        cells += [number(estimate.get("value")), bounds(estimate.get("interval"))]
    ranks = [nulls["rank_p"][measure][name] for measure in _MEASURES] if nulls else []
    cells.append(number(max(ranks)) if ranks else NOT_MEASURED)
    earned = ((own or {}).get(name) or {}).get("earned")
    return (*cells, NOT_MEASURED if earned is None else "yes" if earned else "no")


def _majority(scores: Mapping) -> str:
    """Mean over the concepts of the share of the most frequent state."""
    shares = [score.get("majority") for name, score in (scores.get("concepts") or {}).items() if name != "mean"]
    known = [share for share in shares if share is not None]
    return number(sum(known) / len(known)) if known else NOT_MEASURED


def _shares(counts: Mapping | None, states: Sequence[str]) -> tuple[str, ...]:
    if not counts:
        return tuple(NOT_MEASURED for _ in states)
    total = sum(counts["states"].values())
    return tuple(percent(counts["states"].get(state, 0) / total) if total else NOT_MEASURED for state in states)


def _score(score: Mapping | None) -> tuple[str, str]:
    if not score:
        return NOT_MEASURED, ""
    return number(score.get("accuracy")), bounds(score.get("accuracy_interval"))
