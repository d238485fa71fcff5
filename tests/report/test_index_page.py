"""The report is complete and self-contained, escapes texts, and has no sections without content."""

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.report.embedded_plots import read_plots
from sparsecbm.report.examples import (
    MAX_CHIPS,
    SHORT,
    Example,
    best_examples,
    confidence_in_words,
    first_example,
    frequent_confusions,
    worst_examples,
)
from sparsecbm.report.index_page import index_page
from sparsecbm.report.score_tables import lead_in_words, tiles, verdicts
from sparsecbm.report.tables import MAX_ROWS, Table
from tests.support import many_concepts, report_inputs
from tests.support.html_page import Page


@pytest.fixture
def plots(tmp_path):
    report_inputs.write_plots(
        tmp_path, "prune/swap", "prune/curves", "evaluate/confusion-test", "evaluate/confusion-dev"
    )
    return {stage: read_plots(tmp_path / stage) for stage in ("prune", "evaluate", "explain")}


@pytest.fixture
def html(plots):
    return index_page("restaurants", report_inputs.metrics(), plots, report_inputs.explanations())


def test_markup_in_texts_is_escaped(html):
    page = Page(html)
    assert len(page.find("script")) == 1 and "alert(1)" not in page.scripts[0]
    assert report_inputs.EVIL in page.texts, "as one text, with every character"
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        addresses = [attributes[key] for key in ("src", "href") if key in attributes]
        assert all(address.startswith(("data:", "#", "validation.html", "promotion.html")) for address in addresses)


def test_the_page_says_why_there_is_no_list_of_parts():
    figures = report_inputs.metrics()
    figures["explain"] = {**figures["explain"], "parts": {}, "parts_note": "the heads of <b> are not known"}
    texts = Page(index_page("data", figures, {}, [])).texts
    assert "There is no list: the heads of <b> are not known." in texts
    assert not any("There is no list" in text for text in Page(index_page("x", report_inputs.metrics(), {}, [])).texts)


def test_markup_in_a_name_is_escaped():
    figures = report_inputs.metrics()
    figures["evaluate"]["concepts"]["<b>food</b>"] = report_inputs.score()
    html = index_page("<i>data</i>", figures, {}, [])
    assert "<b>food" not in html and "<i>data" not in html
    assert "<b>food</b>" in Page(html).texts and "Report: <i>data</i>" in Page(html).texts


def test_the_policy_of_the_page_allows_its_own_script_and_nothing_else(html):
    page = Page(html)
    (policy,) = (meta["content"] for meta in page.find("meta") if "http-equiv" in meta)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'", "img-src": "data:", "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert not re.search(r"https?://|url\(|@import", html)


def test_filters_find_the_predictions_on_each_card(html):
    cards = Page(html).find("details", **{"class": "card"})
    assert [card["id"] for card in cards] == ["card-0", "card-1", "card-2", "card-3"]
    assert json.loads(cards[1]["data-predictions"]) == {
        "label": {"state": "1", "gold": "2", "confidence": 0.7},
        "food": {"state": "Negative", "gold": "Negative", "confidence": 0.6},
        "noise": {"state": "quiet", "gold": "loud", "confidence": 0.55},
    }
    assert json.loads(cards[3]["data-predictions"])["label"]["gold"] is None
    states = {o["value"]: json.loads(o["data-states"]) for o in Page(html).find("option") if "data-states" in o}
    assert states == {
        "label": ["1", "2", "3"], "": ["Negative", "Positive", "unknown", "loud", "quiet"],
        "food": ["Negative", "Positive", "unknown"], "noise": ["loud", "quiet"],
    }  # fmt: skip


def test_tables_hold_the_figures(html):
    rows = re.sub(r"<[^>]+>", " ", html)
    cells = re.sub(r"\s+", " ", rows)
    assert "62.5% label right" in cells and "77.0% concepts right, mean" in cells
    assert "label, hard concepts 4 0.500 0.500 to 0.900 0.700 0.400 – 0.500 0.050" in cells
    assert "label, hard, head refitted" not in cells  # there is none
    assert "food 0.900 0.310" in cells  # swap: the head of food under the masks of food and noise
    assert cells.index("food 4 0.800") < cells.index("noise 4 0.740") < cells.index("mean 4 0.770")
    assert "protection ✗ failed 0.250 at least 0.500 two of eight readings held" in cells
    assert "harm ✓ passed 0.010 at most 0.020" in cells
    assert "integrated_gradients delete 0.400 0.100 0.300 0.200 to 0.400 0.900 –" in cells  # the mean
    assert "integrated_gradients 80 0.500 0.400 to 0.600 0.100" in cells
    assert "integrated_gradients comprehensiveness delete food 0.400 0.100 0.300" in cells  # collapsed
    assert "Error on all pairs (12): less is better" in cells, "a few explainers, in words"
    assert cells.index("the concept is set in the model concept_edit 0.610") < cells.index("no effect zero 0.800")
    assert "All pairs (12): less is better" in cells and "concept_edit 0.610 0.610 to 0.900 0.620 0.630 – –" in cells
    assert "zero 0.800 0.800 to 0.900 0.810 0.820 0.190 0.100 to 0.300" in cells


def test_plots_are_in_the_order_of_their_captions_and_others_follow(tmp_path):
    names = (
        "explain/of-a-newer-run",
        "explain/waterfall",
        "explain/effects-hard",
        "explain/effects",
        "explain/faithfulness",
    )
    report_inputs.write_plots(
        tmp_path, *names, "evaluate/confusion-test", "evaluate/confusion-dev", "evaluate/accuracy-dev"
    )
    plots = read_plots(tmp_path / "explain")
    assert [plot.name for plot in plots] == ["faithfulness", "effects", "effects-hard", "waterfall", "of-a-newer-run"]
    assert plots[-1].caption == "Of a newer run"
    scores = read_plots(tmp_path / "evaluate")
    assert [plot.name for plot in scores] == ["accuracy-dev", "confusion-dev", "confusion-test"]
    assert scores[0].caption.endswith("majority and bag of words. Split dev")


def test_a_page_of_50_concepts_of_20_states_is_bounded(monkeypatch):
    """The columns of prose are looked up once a table: once a cell, the page took the square of its cells."""
    calls = []
    prose = Table.prose
    monkeypatch.setattr(Table, "prose", property(lambda table: calls.append(table) or prose.fget(table)))
    html = index_page("many", many_concepts.metrics(), {}, [many_concepts.explanation()])
    tables = re.findall(r"<caption>.*?</table>", html, flags=re.DOTALL)
    assert len(calls) == len(tables) > 15
    assert max(table.count("<tr>") for table in tables) == MAX_ROWS + 1
    (card,) = Page(html).find("details", **{"class": "card"})
    assert len(json.loads(card["data-predictions"])) == 51, "filters know every concept"
    above = html[html.index('<span class="predictions">') : html.index("<template>")]
    assert above.count('class="prediction') == 2 + MAX_CHIPS and "and 38 more concepts" in above
    assert above.count("✗ is state 4") == 10, "wrong predictions come first"


def test_plots_are_embedded_with_their_captions(html, tmp_path):
    images = Page(html).find("img")
    assert len(images) == 4 and all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert {image["alt"] for image in images} >= {
        "Accuracy of each concept's trained head under the mask of each concept",
        "Confusions of the label and each concept: annotated (gold) in rows, predicted in columns. Split test",
    }
    report_inputs.write_plots(tmp_path, "bad/swap")
    (tmp_path / "bad" / "swap.png").write_text("no picture")
    with pytest.raises(DataError, match=r"swap\.png is not a readable PNG; run the stage `report` again"):
        read_plots(tmp_path / "bad")


def test_there_are_no_sections_without_content(html):
    def anchors(html):
        return [section["id"] for section in Page(html).find("section")]

    whole = ["overview", "scores", "concepts", "subnetworks", "explanations", "effects", "interventions", "training"]
    assert anchors(html) == ["reading", "overview", "examples", *whole[1:], "cards"]
    # A black box has no concepts, masks, explanations or interventions.
    scores = {"split": "dev", "label": report_inputs.score(), "label_hard": None, "concepts": {}, "bag_of_words": None}
    box = index_page("box", {"evaluate": scores, "prune": {"chosen": None}, "explain": {}}, {}, [])
    assert anchors(box) == ["overview", "scores"]
    assert "None" not in re.sub(r"<script>.*</script>|<style>.*</style>", "", box, flags=re.DOTALL)
    assert anchors(index_page("nothing", {}, {}, [])) == ["overview"]
    links = {a["href"] for a in Page(box).find("a")}
    assert "#cards" not in links and "validation.html" in links


def test_every_link_inside_the_page_has_a_target(html):
    page = Page(html)
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {a["href"][1:] for a in page.find("a") if a["href"].startswith("#")} <= targets


def test_the_page_depends_on_its_inputs_only(html, plots):
    again = index_page("restaurants", report_inputs.metrics(), plots, report_inputs.explanations())
    assert html == again
    assert html != index_page("restaurants", report_inputs.metrics(), plots, report_inputs.explanations()[::-1])


def test_examples_and_confusions_are_selected_by_confidence():
    examples = [
        Example.from_explanation(explanation, number) for number, explanation in enumerate(report_inputs.explanations())
    ]
    # The highest confidence comes first; a text without a gold label is no example.
    assert [e.anchor for e in worst_examples(examples)] == ["card-2", "card-1"]
    assert [e.anchor for e in best_examples(examples)] == ["card-0"]
    once = [(c.concept, c.gold, c.state, c.texts, c.surest.anchor) for c in frequent_confusions(examples)]
    assert once == [("noise", "loud", "quiet", 1, "card-1"), ("food", "unknown", "Positive", 1, "card-2")]
    surer = Example.from_explanation(
        report_inputs.explanation("calm", ("1", "1", 0.9), ("unknown", None, 0.9), ("quiet", "loud", 0.8)), 4
    )
    (first, *_) = frequent_confusions([*examples, surer])
    assert (first.concept, first.texts, first.surest.anchor) == ("noise", 2, "card-4")
    assert best_examples([surer]) == [], "one concept is wrong"


def test_the_page_begins_with_a_right_text_on_which_two_concepts_decide(html):
    def example(text, number, label, *contributions, noise=0.8):
        explained = report_inputs.explanation(text, label, ("Positive", "Positive", 0.9), ("quiet", "quiet", noise))
        concepts = zip(explained.concepts.items(), contributions, strict=True)
        changed = {name: replace(concept, contribution=value) for (name, concept), value in concepts}
        return Example.from_explanation(replace(explained, concepts=changed), number)

    right, wrong = ("3", "3", 0.9), ("3", "1", 0.9)
    one, two = example("one", 0, right, 5.0, 0.1), example("two", 1, right, 1.0, -0.9)
    misread, long = example("misread", 2, wrong, 3.0, 3.0), example("x " * SHORT, 3, right, 3.0, 3.0)
    assert first_example([one, misread, long, two]) is two
    assert first_example([one, long]) is one and first_example([long]) is long, "a long one only where all are long"
    assert first_example([misread]) is misread and first_example([]) is None
    unclear = example("unclear", 4, right, 2.0, 2.0, noise=0.55)
    assert first_example([two, unclear]) is two and first_example([unclear]) is unclear, "its noise is nearly loud"
    words = " ".join(" ".join(Page(html).texts).split())
    assert "It comes from these predicted concepts, and from nothing else: food Positive speaks for 3 (+0.20)" in words


def test_figures_stand_beside_what_others_reach():
    figures = report_inputs.metrics()
    figures["evaluate"] |= {"dense": {"label": {"accuracy": 0.65}}, "bag_of_words": {"label": 0.5, "concepts": {}}}
    (label, concepts, hard, _verdict) = tiles(figures)
    assert (label.figure, label.beside) == (
        "62.5%",
        "always the commonest 40.0%, bag of words 50.0%, dense model 65.0%",
    )
    assert (concepts.figure, concepts.beside) == ("77.0%", "always the commonest 40.0%")
    assert (hard.figure, hard.meaning) == ("50.0%", "label right from hard concepts")
    figures["evaluate"]["label_hard_refitted"] = {"accuracy": 0.55}
    hard = tiles(figures)[2]
    assert (hard.figure, hard.meaning) == ("55.0%", "label right from hard concepts, head refitted")


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ((0.01, 0.09), "On average the model leads the bag of words by 5.0 points (1.0 to 9.0)."),
        (
            (-0.02, 0.12),
            "On average the model is 5.0 points ahead of the bag of words (its lead: -2.0 to 12.0): these texts do not "
            "show that the transformer reads more than words.",
        ),
        (
            (-0.06, 0.034),
            "On average the model is 1.3 points behind the bag of words (its lead: -6.0 to 3.4): these texts do not "
            "show that the transformer reads more than words.",
        ),
        ((-0.15, -0.01), "On average the bag of words is better by 8.0 points (1.0 to 15.0)."),
    ],
)
def test_a_lead_over_the_bag_of_words_that_may_be_chance_is_called_so(interval, sentence):
    lead = {"mean": {"accuracy": sum(interval) / 2, "interval": list(interval)}}
    assert lead_in_words({"bag_of_words": {"concepts_lead": lead}}) == sentence
    assert lead_in_words({"bag_of_words": None}) == lead_in_words({}) == ""
    unknown = {"mean": {"accuracy": None, "interval": [None, None]}}
    assert lead_in_words({"bag_of_words": {"concepts_lead": unknown}}) == "", "no text has a state"


def test_the_tile_of_the_interventions_names_the_gates_that_failed():
    figures = report_inputs.metrics()
    verdict = tiles(figures)[-1]
    assert (verdict.meaning, verdict.figure, verdict.tone) == ("tests of edits and patches", "failed", "bad")
    assert verdict.beside == "failed gates: protection", "the other gate passed"
    met = [gate | {"passed": True} for gate in figures["intervene"]["gates"]]
    figures["intervene"] |= {"verdict": "passed", "gates": met}
    assert (tiles(figures)[-1].figure, tiles(figures)[-1].tone, tiles(figures)[-1].beside) == ("passed", "good", "")


def test_verdicts_on_own_weights_and_explanations_are_shown():
    figures = report_inputs.metrics()
    assert [tile.meaning for tile in verdicts(figures)] == ["tests of edits and patches"], "nothing else was judged"
    own = figures["prune"]["chosen"]["own_weights"] = {"food": {"earned": True}, "noise": {"earned": False}}
    figures["explain"]["method"] = "integrated_gradients"
    weights, explained, _edits = verdicts(figures)
    assert (weights.figure, weights.beside, weights.tone) == ("1 of 2", "not noise", "bad")
    assert (explained.figure, explained.tone) == ("1 of 1", "good"), "the interval of its lead is above 0"
    own["noise"]["earned"] = True
    of_words = figures["explain"]["faithfulness"]["methods"]["integrated_gradients"]["comprehensiveness"]
    of_words["delete"]["mean"]["excess_interval"] = [-0.1, 0.4]
    weights, explained, _edits = verdicts(figures)
    assert (weights.figure, weights.tone) == ("2 of 2", "good")
    assert (explained.figure, explained.tone) == ("0 of 1", "bad"), "its lead may be chance"


def test_sizes_and_overlaps_that_settings_make_equal_are_not_shown(html):
    assert "weights kept" not in html and "Overlap of two masks" not in html
    figures = report_inputs.metrics()
    chosen = figures["prune"]["chosen"]
    chosen["density_by_concept"]["noise"] = 0.2
    chosen["density_by_concept"]["service"] = 0.25
    chosen["overlap"]["pairs"]["food"]["service"] = {"jaccard": 0.1, "chance": 0.143}
    page = index_page("restaurants", figures, {}, [])
    cells = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "weights kept" in cells and "Overlap of two masks" in cells
    assert "food – 0.512" in cells and "noise 0.512 –" in cells, "in the other direction, too"


@pytest.mark.parametrize(
    "shares, words",
    [
        ([], ""),
        ([0.95, 0.8], ", with high confidence (80 to 95 %)"),
        ([0.9], ", with high confidence (90 %)"),
        ([0.95, 0.79], ", with a confidence of 79 to 95 %"),
        ([0.44, 0.5], ", with a confidence of 44 to 50 %"),
        ([0.49, 0.44], ", with low confidence (44 to 49 %)"),
    ],
)
def test_the_words_for_confidence_follow_from_the_numbers(shares, words):
    texts = [
        report_inputs.explanation("calm", ("1", "1", p), ("unknown", None, 0.9), ("quiet", None, 0.8)) for p in shares
    ]
    assert confidence_in_words([Example.from_explanation(text, 0) for text in texts]) == words


def test_the_lists_of_examples_say_how_confident_their_labels_are(html):
    assert "<h3>Worst: label wrong, with a confidence of 70 to 85 %</h3>" in html
    assert "<h3>Best: label and annotated concepts right, with high confidence (90 %)</h3>" in html


def test_a_figure_beyond_its_bound_with_an_interval_across_it_is_undecided():
    figures = report_inputs.metrics()
    figures["intervene"]["gates"] = [
        {"name": "repaired", "value": 0.75, "interval": [0.6, 0.9], "at_least": 0.8, "passed": True, "reason": "few"},
        {"name": "harm", "value": 0.03, "interval": [0.01, 0.05], "at_most": 0.02, "passed": True, "reason": "few"},
        {"name": "exact", "value": 0.8, "at_least": 0.8, "passed": True, "reason": ""},
        {"name": "lost", "value": None, "at_least": 0.8, "passed": False, "reason": "not measured"},
    ]
    cells = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", index_page("restaurants", figures, {}, [])))
    assert "repaired ? undecided 0.750 at least 0.800 few" in cells
    assert "harm ? undecided 0.030 at most 0.020 few" in cells
    assert "exact ✓ passed 0.800" in cells and "lost ✗ failed –" in cells


@pytest.mark.parametrize(
    ("setting", "label", "falls"),
    [("typical", [0.5, 0.6, 0.55], True), ("typical", [0.5, 0.5, 0.6], False), ("hard", [0.5, 0.6, 0.55], False)],
)
def test_the_lead_says_what_a_falling_curve_of_right_edits_means(setting, label, falls):
    figures = report_inputs.metrics()
    figures["intervene"]["oracle_curves"] = {f"random/{setting}": {"label": label}}
    words = " ".join(" ".join(Page(index_page("data", figures, {}, [])).texts).split())
    assert "“head refitted” is a second one, which learnt from their states alone" in words
    assert ("A curve of the head as trained that falls, although each edit is right" in words) is falls
