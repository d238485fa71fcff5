"""The sections of the report that hold figures and plots; an empty section is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparsecbm.report.embedded_plots import Plot
from sparsecbm.report.evidence_tables import causal_summary, causal_tables, faithfulness_tables
from sparsecbm.report.label_tables import agreement_table, alpha_table, noise_table, state_table, suspect_table
from sparsecbm.report.null_table import null_table
from sparsecbm.report.part_table import part_table
from sparsecbm.report.score_tables import (
    concept_table,
    label_table,
    lead_in_words,
    mask_tables,
    subgroup_table,
)
from sparsecbm.report.tables import Table, figure_tables, number
from sparsecbm.report.variation import densities_vary

PART_ROWS = (2, 4)  # heads and neurons of each concept that are shown at once


@dataclass(frozen=True)
class Section:
    """A heading, a lead, tables and plots, and tables and plots that stay folded until the reader opens them.

    Attributes:
        note: why the section has nothing else to show
    """

    anchor: str
    title: str
    lead: str
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    folded: Sequence[Table] = ()
    folded_plots: Sequence[Plot] = ()
    note: str | None = None

    def __bool__(self) -> bool:
        return bool(self.tables or self.plots or self.folded or self.note)


def sections(metrics: Mapping[str, Mapping], plots: Mapping[str, Sequence[Plot]]) -> list[Section]:
    """All sections that are not empty, in the order of the page.

    Args:
        metrics: stage -> content of its `metrics/STAGE.json`; a stage that did not run is missing
        plots: stage -> its plots
    """
    scores = metrics.get("evaluate", {})
    masks = metrics.get("prune", {}).get("chosen")
    all_sections = (
        _label_section(scores, plots.get("evaluate", ())),
        _concept_section(scores, masks),
        _subgroup_section(scores.get("subgroups") or {}),
        _label_quality_section(metrics.get("annotate", {}), plots.get("annotate", ())),
        _mask_section(metrics.get("prune", {}), plots.get("prune", ())),
        _parts_section(metrics.get("explain", {})),
        _explanation_section(metrics.get("explain", {}), plots.get("explain", ())),
        _effect_section(scores),
        _intervention_section(metrics.get("intervene", {}), plots.get("intervene", ())),
        Section("training", "Training", "The curves of both trainings.", plots=_curves(plots)),
    )
    return [section for section in all_sections if section]


def _label_section(scores: Mapping, plots: Sequence[Plot]) -> Section:
    lead = (
        "The model was not trained on these texts. Intervals are 95 %, by bootstrap over clusters of texts. "
        "With “hard concepts”, the label head gets each concept as its likeliest state, without probabilities; "
        "“head refitted” is a second label head that was fitted on such states. “majority” always gives the label that "
        "is most frequent in training."
    )
    tables = [label_table(scores)] if scores else ()
    of_split = [plot for plot in plots if plot.name.endswith(f"-{scores.get('split')}")]
    others = [plot for plot in plots if plot not in of_split]
    return Section("scores", "Label", lead, tables, of_split, folded_plots=others)


def _concept_section(scores: Mapping, masks: Mapping | None) -> Section:
    lead = (
        "Scores of each concept, next to the state that is most frequent in training (majority), a classifier that "
        "counts words (bag of words), and the model before masks (dense model). After pruning, all heads are fitted "
        "anew, so the model can be worse than the dense one, or better. "
    )
    if masks and densities_vary(masks["density_by_concept"]):
        lead += "“Weights kept” is the share of the weights under masks that the concept keeps. "
    if masks:
        lead += (
            "“Own mask minus others'” is the accuracy that a concept loses on average under the masks of other "
            "concepts, on the split validation. "
        )
    lead = (lead + lead_in_words(scores)).rstrip()
    for name, reason in (scores.get("unmeasured") or {}).items():
        lead += f" {name}: {reason}."
    return Section("concepts", "Concepts", lead, [concept_table(scores, masks)] if scores.get("concepts") else ())


def _subgroup_section(subgroups: Mapping[str, Mapping]) -> Section:
    lead = (
        "The same texts, split by columns that the model does not see. A subgroup of few texts has a wide interval: "
        "then the difference from others may be chance."
    )
    return Section("subgroups", "Subgroups", lead, [subgroup_table(subgroups)] if subgroups else ())


def _label_quality_section(record: Mapping, plots: Sequence[Plot]) -> Section:
    quality, noise = record.get("quality"), record.get("noise") or {}
    lead = (
        "A model is hardly better than its labels. Kappa is 0 for labels that agree with people by chance, and 1 "
        "for perfect ones; coverage is the share of texts that got a label. A judge that learnt from other texts, "
        "and never from the label that it judges, says which labels are probably wrong; people should look at the "
        "most suspicious ones. Texts that are hard to read look wrong, too. The share of wrong labels is left out "
        "where the judge agrees with fewer than 70 % of them: then most of the differences are its own errors."
    )
    tables = [agreement_table(quality)] if quality else []
    folded = [alpha_table(quality), state_table(quality)] if quality else []
    if any(each for kinds in noise.values() for each in kinds.values()):
        tables, folded = [*tables, noise_table(noise)], [*folded, suspect_table(noise)]
    return Section("labels", "How good are the concept labels?", lead, tables, plots, folded)


def _mask_section(record: Mapping, plots: Sequence[Plot]) -> Section:
    lead = (
        "Each concept has its own mask over the weights. A mask is specific if its own concept is predicted well under "
        "it and the others are not. That alone proves little: masks with a common core are chosen to differ, and even "
        "the mask of a meaningless concept shows some gap. Compare it with the accuracy, and with random masks if "
        "the run has that control."
    )
    masks, tables = record.get("chosen"), []
    if masks:
        lead += f" Accuracies here are of the {masks['texts']} texts of the split validation."
    if record.get("nulls"):
        lead += (
            " The first table sets real concepts beside concepts that mean nothing, whose masks were found in the same "
            "way; p says how often a meaningless one does as well."
        )
        tables = [null_table(record)]
    shown = [plot for plot in plots if plot.name != "curves"]
    return Section("subnetworks", "Subnetworks", lead, tables, shown, mask_tables(masks) if masks else ())


def _parts_section(record: Mapping) -> Section:
    parts, note = record.get("parts") or {}, record.get("parts_note")
    lead = (
        "A subnetwork as a short list; “head 5.10” is attention head 10 of block 5, counted from 0. "
        "The effect is the logit of the predicted state with a head or neuron minus "
        "without it, as the mean over texts of the test split; “its own” is the share of its weights that no other "
        "concept keeps. A neuron fires on the words at which it is most active, among words of several training texts."
    )
    tables, folded = ([part_table(parts, *PART_ROWS)], [part_table(parts)]) if parts else ((), ())
    if note:
        lead, note = "A subnetwork as a short list of heads and neurons.", f"There is no list: {note}."
    return Section("parts", "What each subnetwork consists of", lead, tables, folded=folded, note=note)


def _explanation_section(record: Mapping, plots: Sequence[Plot]) -> Section:
    lead = record.get("note") or (
        "The effects of states on the label, and whether the words that an explanation names are those that the model "
        "used. “random” is a method like the others: a faithful method beats it."
    )
    folded = [*faithfulness_tables(record.get("faithfulness") or {}), *figure_tables(record)]
    return Section("explanations", "Explanations and their faithfulness", lead, (), plots, folded)


def _effect_section(scores: Mapping) -> Section:
    causal = scores.get("causal") or {}
    lead = (
        "Two texts that differ in one concept show the true effect of that concept on the label. The error (ICaCE) is "
        "the distance between this effect and an estimate of it."
    )
    if causal.get("skipped"):
        lead = f"{lead} Nothing was measured: {causal['skipped']}."
    summary = causal_summary(causal)
    folded = [*causal_tables(causal), *figure_tables(causal)]
    return Section("effects", "Causal effects", lead, [summary] if summary else (), folded=folded)


def _intervention_section(record: Mapping, plots: Sequence[Plot]) -> Section:
    lead = record.get("note") or "What edits of concepts and patches of their masks do to the predictions."
    if attempts := record.get("oracle_patches", {}).get("attempts"):
        lead += f" Patches were tried on {attempts} wrong predictions."
    lead += _edit_settings(record.get("oracle_curves") or {})
    gates = record.get("gates") or ()
    tables = [_gate_table(record.get("verdict", ""), gates)] if gates else []
    rest = {key: value for key, value in record.items() if key not in ("gates", "verdict", "note")}
    return Section("interventions", "Interventions", lead, tables, plots, figure_tables(rest))


def _edit_settings(curves: Mapping[str, Mapping]) -> str:
    """What the three panels of the curves are, and that right edits may make the label worse where they do."""
    if not curves:
        return ""
    words = (
        " “Head as trained” is the label head that learnt from the concepts' probabilities; “head refitted” is a "
        "second one, which learnt from their states alone."
    )
    ends = {name.partition("/")[2]: curve["label"] for name, curve in curves.items()}
    if any(values[-1] < max(values) for setting, values in ends.items() if setting != "hard"):
        words += (
            " A curve of the head as trained that falls, although each edit is right, means that this head reads more "
            "from a concept's probabilities than its state; `--head hard` edits through the refitted one."
        )
    return words


def _gate_table(verdict: str, gates: Sequence[Mapping]) -> Table:
    rows = []
    for gate in gates:
        bounds = [
            f"at {side} {number(gate[key])}" for side in ("least", "most") if gate.get(key := f"at_{side}") is not None
        ]
        rows.append(
            (gate["name"], _outcome(gate), number(gate.get("value")), ", ".join(bounds), gate.get("reason") or "")
        )
    return Table(f"Verdict by gates: {verdict}", ("gate", "", "value", "bound", "reason"), tuple(rows), 2)


def _outcome(gate: Mapping) -> str:
    """How a gate ended, in words: a figure beyond its bound whose interval is not is neither passed nor failed."""
    value, least, most = (gate.get(key) for key in ("value", "at_least", "at_most"))
    if not gate["passed"]:
        return "✗ failed"
    beyond = (least is not None and value < least) or (most is not None and value > most)
    return "? undecided" if beyond else "✓ passed"


def _curves(plots: Mapping[str, Sequence[Plot]]) -> list[Plot]:
    return [plot for stage in ("finetune", "prune") for plot in plots.get(stage, ()) if plot.name == "curves"]
