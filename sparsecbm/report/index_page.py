"""The page of the whole run: scores, subnetworks, faithfulness, interventions, and a card for each explained text."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from markupsafe import Markup

from sparsecbm.display import card
from sparsecbm.explain.explanation import Explanation
from sparsecbm.report.embedded_plots import Plot
from sparsecbm.report.examples import Example, best, misreadings, vocabulary, worst
from sparsecbm.report.render import render
from sparsecbm.report.score_tables import tiles
from sparsecbm.report.sections import sections


def index_page(
    source: str,
    metrics: Mapping[str, Mapping],
    plots: Mapping[str, Sequence[Plot]],
    explanations: Sequence[Explanation],
) -> str:
    """The page as HTML; a function of its arguments alone, to the byte. It loads nothing and may load nothing.

    Args:
        source: name of the data
        metrics: stage -> content of its `metrics/STAGE.json`; what is missing is left out of the page
        plots: stage -> its plots
        explanations: of the texts that get a card, in this order; may be empty
    """
    examples = [Example.of(explanation, number) for number, explanation in enumerate(explanations)]
    script = files("sparsecbm.report").joinpath("index.js").read_text(encoding="utf-8")
    return render(
        "index.html.jinja",
        loader=card.LOADER,
        filters=card.FILTERS,
        title=source,
        origin=explanations[0].origin if explanations else None,
        sections=sections(metrics, plots),
        tiles=tiles(metrics),
        examples=examples,
        vocabulary=vocabulary(examples),
        best=best(examples),
        worst=worst(examples),
        misreadings=misreadings(examples),
        script=Markup(script),  # ours, and the only one that the page's policy lets run
        script_hash=_policy_hash(script),
    )


def _policy_hash(script: str) -> str:
    """A script as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"
