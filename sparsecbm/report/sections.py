"""The sections of the report that hold figures and plots; one that has nothing to show is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparsecbm.report.embedded_plots import Plot
from sparsecbm.report.evidence_tables import causal_tables, faithfulness_tables
from sparsecbm.report.score_tables import concept_table, label_table, mask_tables
from sparsecbm.report.tables import Table, figure_tables, number


@dataclass(frozen=True)
class Section:
    """A heading, what it is about, tables and plots, and tables that stay folded until somebody wants them."""

    anchor: str
    title: str
    lead: str
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    folded: Sequence[Table] = ()
    folded_plots: Sequence[Plot] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.plots or self.folded)


def sections(metrics: Mapping[str, Mapping], plots: Mapping[str, Sequence[Plot]]) -> list[Section]:
    """All sections with something in them, in the order of the page.

    Args:
        metrics: stage -> content of its `metrics/STAGE.json`; a stage that did not run is missing
        plots: stage -> its plots
    """
    scores = metrics.get("evaluate", {})
    masks = metrics.get("prune", {}).get("chosen")
    found = (
        _scores(scores, plots.get("evaluate", ())),
        _concepts(scores, masks),
        _masks(masks, plots.get("prune", ())),
        _explanations(metrics.get("explain", {}), plots.get("explain", ())),
        _effects(scores),
        _interventions(metrics.get("intervene", {}), plots.get("intervene", ())),
        Section("training", "Training", "Each curve as its stage drew it.", plots=_curves(plots)),
    )
    return [section for section in found if section]


def _scores(scores: Mapping, plots: Sequence[Plot]) -> Section:
    lead = (
        "Texts that the model was not trained on. Intervals are 95 %, by bootstrap over clusters of texts. "
        "“Hard concepts” gives the label head plain states in the place of the model's doubts."
    )
    tables = [label_table(scores)] if scores else ()
    first = [plot for plot in plots if plot.name.endswith(f"-{scores.get('split')}")]
    others = [plot for plot in plots if plot not in first]
    return Section("scores", "Label", lead, tables, first, folded_plots=others)


def _concepts(scores: Mapping, masks: Mapping | None) -> Section:
    lead = "How well each concept is read, beside the commonest state, a bag of words and the dense model."
    return Section("concepts", "Concepts", lead, [concept_table(scores, masks)] if scores.get("concepts") else ())


def _masks(masks: Mapping | None, plots: Sequence[Plot]) -> Section:
    lead = (
        "Each concept is read through a mask of its own over the weights. A mask is specific if its own concept can be "
        "read under it and the others cannot. That alone proves little: masks with a common core are chosen to "
        "differ, and that of a meaningless concept stands out somewhat, too. Read it beside the accuracy, and beside "
        "masks drawn at random where the run has that control."
    )
    shown = [plot for plot in plots if plot.name != "curves"]
    return Section("subnetworks", "Subnetworks", lead, plots=shown, folded=mask_tables(masks) if masks else ())


def _explanations(found: Mapping, plots: Sequence[Plot]) -> Section:
    lead = found.get("note") or (
        "What states do to the label, and whether the words that an explanation names are those that the model used. "
        "“random” is a method like the others: it is there to be beaten."
    )
    tables = faithfulness_tables(found.get("faithfulness") or {})
    return Section("explanations", "Explanations and their faithfulness", lead, tables, plots, figure_tables(found))


def _effects(scores: Mapping) -> Section:
    found = scores.get("causal") or {}
    lead = (
        "A text and its counterfactual show what changing a concept really does to the label. The ICaCE error is how "
        "far each explainer's estimate is from that."
    )
    if found.get("skipped"):
        lead = f"{lead} Nothing was measured: {found['skipped']}."
    return Section("effects", "Causal effects", lead, causal_tables(found), folded=figure_tables(found))


def _interventions(found: Mapping, plots: Sequence[Plot]) -> Section:
    lead = found.get("note") or "What correcting concepts, by hand or by patches of their masks, does to the readings."
    gates = found.get("gates") or ()
    tables = [_gates(found.get("verdict", ""), gates)] if gates else []
    rest = {key: value for key, value in found.items() if key not in ("gates", "verdict", "note")}
    return Section("interventions", "Interventions", lead, tables, plots, figure_tables(rest))


def _gates(verdict: str, gates: Sequence[Mapping]) -> Table:
    rows = []
    for gate in gates:
        bounds = [
            f"at {way} {number(gate[key])}" for way in ("least", "most") if gate.get(key := f"at_{way}") is not None
        ]
        passed = "✓ passed" if gate["passed"] else "✗ failed"
        rows.append((gate["name"], passed, number(gate.get("value")), ", ".join(bounds), gate.get("reason") or ""))
    return Table(f"Verdict by gates: {verdict}", ("gate", "", "value", "bound", "reason"), tuple(rows), 2)


def _curves(plots: Mapping[str, Sequence[Plot]]) -> list[Plot]:
    return [plot for stage in ("finetune", "prune") for plot in plots.get(stage, ()) if plot.name == "curves"]
