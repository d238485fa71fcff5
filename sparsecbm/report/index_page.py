"""The page of the whole run: scores, subnetworks, faithfulness, interventions, and a card for each explained text."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from markupsafe import Markup

from sparsecbm.display import card
from sparsecbm.explain.explanation import Explanation
from sparsecbm.report.embedded_plots import Plot
from sparsecbm.report.examples import (
    Example,
    best_examples,
    confidence_in_words,
    filter_choices,
    first_example,
    frequent_confusions,
    worst_examples,
)
from sparsecbm.report.render import render
from sparsecbm.report.score_tables import tiles
from sparsecbm.report.sections import sections


def index_page(
    source: str,
    metrics: Mapping[str, Mapping],
    plots: Mapping[str, Sequence[Plot]],
    explanations: Sequence[Explanation],
) -> str:
    """The page as HTML; a function of its arguments alone, to the byte. It needs no other file and no network.

    Args:
        source: name of the data
        metrics: stage -> content of its `metrics/STAGE.json`; the page leaves out a stage that is missing
        plots: stage -> its plots
        explanations: one for each card, in the order of the cards; may be empty
    """
    examples = [Example.from_explanation(explanation, number) for number, explanation in enumerate(explanations)]
    script = files("sparsecbm.report").joinpath("index.js").read_text(encoding="utf-8")
    return render(
        "index.html.jinja",
        loader=card.LOADER,
        filters={**card.FILTERS, "confidence": confidence_in_words},
        title=source,
        origin=explanations[0].origin if explanations else None,
        sections=sections(metrics, plots),
        tiles=tiles(metrics),
        examples=examples,
        first=first_example(examples),
        choices=filter_choices(examples),
        best=best_examples(examples),
        worst=worst_examples(examples),
        confusions=frequent_confusions(examples),
        script=Markup(script),  # our own, and the only one that the page's policy allows
        script_hash=_policy_hash(script),
    )


def _policy_hash(script: str) -> str:
    """A script as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
