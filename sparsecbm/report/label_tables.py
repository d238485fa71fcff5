"""Quality of concept labels as the report shows it: agreement of sources, and labels that are probably wrong."""

from collections.abc import Mapping

from sparsecbm.report.tables import Table, number

AGREEMENT = ("texts", "coverage", "accuracy", "95 %", "macro-F1", "kappa", "95 %", "calibration error")
NOISE = ("labels", "judge", "judge agrees", "probably wrong")
FAIR_JUDGE = 0.7  # least share of labels that a judge must agree with
SUSPECT = ("probability", "split", "source", "text")


def agreement_table(quality: Mapping) -> Table:
    """Each machine against people, and all combined if there are several.

    Args:
        quality: `quality` of `metrics/annotate.json`
    """
    rows = []
    for concept, found in quality["concepts"].items():
        one_machine = len(found["against_people"]) == 2  # it and `combined`, which says the same
        for source, agreement in found["against_people"].items():
            if one_machine and source == "combined":
                continue
            coverage = number(found["coverage"][source])
            if agreement is None:
                few = ("too few to measure", *[""] * (len(AGREEMENT) - 3))
                rows.append((concept, source, number(found["people"]), coverage, *few))
                continue
            cells = [agreement[key] for key in ("accuracy", "accuracy_interval", "macro_f1", "kappa", "kappa_interval")]
            cells.append(agreement["calibration_error"])
            rows.append((concept, source, number(agreement["texts"]), coverage, *map(number, cells)))
    return Table("Machines against people", ("concept", "machine", *AGREEMENT), tuple(rows), 2)


def alpha_table(quality: Mapping) -> Table:
    """Agreement of people and all machines on each concept, and of each two machines."""
    rows = []
    for concept, found in quality["concepts"].items():
        alpha = f"{number(found['alpha'])} ({number(found['alpha_interval'])})"
        rows.append((concept, "Krippendorff's alpha, people and machines", alpha))
        rows += [
            (concept, f"kappa of {first} and {second}", number((agreement or {}).get("kappa")))
            for first, others in found["between_machines"].items()
            for second, agreement in others.items()
        ]
    return Table("Agreement of all sources", ("concept", "", "value"), tuple(rows), 2)


def state_table(quality: Mapping) -> Table:
    """Precision and recall of the combined machine labels by state."""
    rows = [
        (concept, state, number(agreement["precision"][state]), number(agreement["recall"][state]))
        for concept, found in quality["concepts"].items()
        for agreement in [found["against_people"].get("combined")]
        if agreement
        for state in agreement["states"]
    ]
    return Table("Machine labels, by state", ("concept", "state", "precision", "recall"), tuple(rows), 2)


def noise_table(noise: Mapping) -> Table:
    """The estimated share of wrong labels, by concept and by who gave them; none by a judge that is often wrong itself.

    Args:
        noise: `noise` of `metrics/annotate.json`
    """
    rows = []
    for concept, kinds in noise.items():
        for kind, each in kinds.items():
            if each:
                wrong = each["wrong_share"] if each["judge_accuracy"] >= FAIR_JUDGE else None
                figures = (each["cells"], each["judge"], each["judge_accuracy"], wrong)
                rows.append((concept, kind, *map(number, figures)))
    return Table("Labels that are probably wrong", ("concept", "labels of", *NOISE), tuple(rows), 2)


def suspect_table(noise: Mapping) -> Table:
    """The most suspicious labels, with their texts."""
    rows = []
    for concept, kinds in noise.items():
        for each in (suspect for estimate in kinds.values() if estimate for suspect in estimate["suspects"]):
            about = (number(each["probability"]), each["split"], each["source"], each["text"])
            rows.append((concept, each["state"], each["judged"], *about))
    return Table("The most suspicious labels", ("concept", "label", "judged", *SUSPECT), tuple(rows), 3)
