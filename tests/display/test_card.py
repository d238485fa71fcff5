"""The card of an explanation as HTML: its content, escaped texts, and signs that need no colours."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from sparsecbm.display.card import (
    by_contribution,
    explained_concepts,
    likely,
    page,
    segments,
    signed,
    strongest,
    unread,
)
from sparsecbm.explain.ablation import KINDS
from sparsecbm.explain.explanation import (
    AblatedUnit,
    ConceptExplanation,
    Explanation,
    HardLabel,
    LabelExplanation,
    Origin,
    Subnetwork,
    Word,
    WordScores,
)
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.sufficient_parts import SetTrial, SufficientPart, SufficientParts
from tests.support import many_concepts

VOID = {"meta", "br"}


class Parsed(HTMLParser):
    """A parsed card: texts with the class of their innermost element, and all elements with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes).get("class", "")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag in ("td", "th"):
            self.texts.append(((tag, ""), " "))

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else None, data))

    def words(self):
        return [
            (classes, text)
            for where, text in self.texts
            for _, classes in [where or ("", "")]
            if classes.startswith("x-w")
        ]

    def visible_text(self):
        return " ".join("".join(text for where, text in self.texts if where and where[0] != "style").split())


def make_explanation(text="good food, bad noise", spans=((0, 4), (5, 9), (9, 10), (11, 14), (15, 20)), **changes):
    """Return an explanation with simple figures; its five words have the scores 1.0, -0.5, 0, -0.1 and 0.04."""
    words = tuple(Word(text[start:end], start, end) for start, end in spans)
    scores = WordScores((1.0, -0.5, 0.0, -0.1, 0.04)[: len(words)], (0.25, 0.0), 0.4, 0.04, 16)
    units = (AblatedUnit(3, 7, 1.25, "Negative", 0.3), AblatedUnit(4, 1, -0.5, "Positive", 0.95))
    food = ConceptExplanation(
        "Positive", {"Negative": 0.1, "Positive": 0.9}, "Positive", "Positive", {"1": -0.5, "2": 0.5}, 0.5, 0.75,
        scores, Subnetwork(0.25, {"head": units}),
    )  # fmt: skip
    noise = replace(
        food, state="Negative", gold="Positive", contributions={"1": 1.0, "2": -1.0}, contribution=-1.0,
        words=None, subnetwork=None,
    )  # fmt: skip
    label = LabelExplanation(
        "rating", "2", {"1": 0.2, "2": 0.8}, "1", 0.125, -0.375, HardLabel("1", {"1": 0.6, "2": 0.4}), scores
    )
    origin = Origin("a" * 64, "b" * 64, None, True, "integrated_gradients", AttributionOptions())
    explanation = Explanation(
        text, False, "r-1", "test", words, ("[CLS]", "[SEP]"), label, {"food": food, "noise": noise}, origin
    )
    return replace(explanation, **changes)


def test_the_shade_of_a_word_depends_on_its_share_of_the_largest_score():
    explanation = make_explanation()
    parts = segments(explanation, explanation.label.words)
    assert "".join(part.text for part in parts) == explanation.text
    assert [(part.text, part.level) for part in parts if part.level] == [("good", 5), ("food", -2)]
    assert [part.text for part in parts if part.score is None] == [" ", " ", " "]
    nothing = segments(explanation, replace(explanation.label.words, scores=(0.0,) * 5))
    assert not any(part.level for part in nothing)


def test_the_strongest_words_of_each_side_come_first():
    explanation = make_explanation()
    assert strongest(explanation, explanation.label.words, 1) == [("good", 1.0), ("noise", 0.04)]
    assert strongest(explanation, explanation.label.words, -1) == [("food", -0.5), ("bad", -0.1)]


def test_the_card_says_what_each_concept_adds_to_every_label():
    text = Parsed(page([make_explanation()])).visible_text()
    assert (
        "What each concept adds to every rating concept 1 2 noise +1.00 −1.00 food −0.50 +0.50 so likely 20% 80%"
        in text
    )
    assert "of which the likeliest are shown" not in text


def with_sufficient(**changes):
    """Return the explanation with a smallest set of eight parts of food, with effects 2.0, 1.0, ..., 0.25, -0.5."""
    effects = (2.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, -0.5)
    parts = tuple(SufficientPart("neuron", 3, 100 + i, effect, f"<b>{i}") for i, effect in enumerate(effects[1:]))
    head = SufficientPart("head", 4, 7, effects[0], None)
    only, without = SetTrial("Positive", 0.8, 0.1, 0.25), SetTrial("Negative", 0.125, 0.95, 0.875)
    fields = {"parts": (head, *parts), "none_state": "unknown", "only": only, "without": without, "draws": 20}
    found = SufficientParts(heads=36, neurons=4608, **{**fields, **changes})
    explanation = make_explanation()
    food = explanation.concepts["food"]
    food = replace(food, subnetwork=replace(food.subnetwork, sufficient=found))
    return replace(explanation, concepts={**explanation.concepts, "food": food})


def test_the_card_shows_the_smallest_set_of_parts():
    html = with_sufficient().to_html()
    parsed = Parsed(html)
    text = parsed.visible_text()
    for part in (
        "Of its 36 heads and 4608 neurons, 8 are enough to predict Positive", "head 4.7 +2.00", "neuron 3.100 +1.00",
        "neuron 3.106 −0.50", "2 more, which do less", "only these Positive 80% 2 (25%)",
        "all but these Negative 12% 19 (88%)", "none unknown", "of 20 random sets of the same size Positive stays",
    ):  # fmt: skip
        assert part in text, (part, text)
    assert "&lt;b&gt;0" in html and "<b>0" not in html
    rects = [fields for tag, fields in parsed.elements if tag == "rect" and fields["class"] != "x-axis"]
    bars = [(fields["class"], fields["x"], fields["width"]) for fields in rects]
    assert bars[:3] == [("x-f", "0.0", "50.0"), ("x-f", "0.0", "25.0"), ("x-f", "0.0", "12.5")]
    assert len(bars) == 8 and bars[-1] == ("x-a", "-12.5", "12.5")


def test_the_card_says_if_no_part_is_needed():
    text = Parsed(with_sufficient(parts=()).to_html()).visible_text()
    assert "Without any of its 36 heads and 4608 neurons the model predicts Positive, too" in text
    assert "random sets" not in text and "random sets" not in Parsed(make_explanation().to_html()).visible_text()


def test_the_card_shows_all_levels():
    text = Parsed(make_explanation().to_html()).visible_text()
    for part in (
        "rating: 2", "80% sure ✗ annotated: 1", "from hard concepts: 1, 60%",
        "mean training text +0.12", "this text −0.38", "food Positive, 90% ✓ as annotated +0.50 +0.75",
        "noise Negative, 10% ✗ annotated: Positive −1.00", "for it: good +1.00, noise +0.04.",
        "against it: food −0.50, bad −0.10.", "off by +0.040 (completeness gap) after 16 gradients", "[CLS] +0.25",
        "keeps 25% of the weights under masks", "head 3.7 by +1.25 (then predicts Negative), 4.1 by −0.50",
        "a" * 64, "b" * 64, "tolerance 0.05",
    ):  # fmt: skip
        assert part in text, (part, text)


def test_the_card_says_that_a_gap_is_above_the_tolerance():
    """The tolerance is 5 % of the change, or of 1 if that is larger; it applies to complete methods only."""
    explanation = make_explanation()
    assert "above the tolerance" not in Parsed(explanation.to_html()).visible_text()
    for change, gap, rough in ((0.4, 0.05, False), (0.4, -0.051, True), (-3.0, 0.15, False), (-3.0, 0.151, True)):
        scores = replace(explanation.label.words, change=change, gap=gap)
        assert explanation.exceeds_tolerance(scores) == rough, (change, gap)
        text = Parsed(replace(explanation, label=replace(explanation.label, words=scores)).to_html()).visible_text()
        assert ("after 16 gradients, above the tolerance of 5%: a concept gets at most 512 gradients;" in text) == rough
    for method in ("mid_path_gradients", "a method of an earlier version"):
        origin = replace(explanation.origin, method=method)
        assert not replace(explanation, origin=origin).exceeds_tolerance(replace(explanation.label.words, gap=9.0))


def test_words_for_and_against_differ_by_line_and_title_too():
    parsed = Parsed(make_explanation().to_html())
    assert [where for where, _ in parsed.words()[:2]] == ["x-w x-f x-5", "x-w x-a x-2"]
    titles = [attributes["title"] for tag, attributes in parsed.elements if tag == "span" and "title" in attributes]
    assert titles[:2] == ["+1.00", "−0.50"]
    style = "".join(text for where, text in parsed.texts if where == ("style", ""))
    assert ".x-w.x-a { border-bottom-style: dotted; }" in style
    assert "prefers-color-scheme: dark" in style and "@media print" in style


def test_html_in_texts_is_escaped():
    """HTML or script in a review, a token, a state or an id adds no element and no attribute."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> & <b>x</b>"
    explanation = make_explanation(evil, spans=((1, 7), (8, 13)), id=f'"{evil}', special=("<s>", "</s>"))
    concept = replace(explanation.concepts["food"], gold=evil, state=evil, probabilities={evil: 1.0}, explained=evil)
    explanation = replace(explanation, concepts={evil: concept})
    parsed = Parsed(explanation.to_html())
    assert {tag for tag, _ in parsed.elements} <= {
        "html", "head", "meta", "title", "style", "body", "article", "h3", "h4", "p", "span", "b", "bdi", "code", "div",
        "table", "thead", "tr", "th", "td", "i", "br", "details", "summary",
    }  # fmt: skip
    assert not any(name.startswith("on") or name in ("src", "href") for _, some in parsed.elements for name in some)
    text = "".join(text for where, text in parsed.texts if where and ("x-text" in where[1] or "x-w" in where[1]))
    assert evil in text


def test_the_page_fetches_nothing():
    html = make_explanation().to_html()
    assert "http" not in html and "url(" not in html and "<script" not in html and "<link" not in html


def test_the_part_beyond_the_limit_of_the_model_is_struck_through_and_cut():
    long = "good food, bad noise" + " and more" * 1000
    explanation = make_explanation(long, truncated=True)
    assert unread(explanation).startswith(" and more") and unread(explanation).endswith("… (8,600 more characters)")
    parsed = Parsed(explanation.to_html())
    assert "it ignores the part that is struck through" in parsed.visible_text()
    assert sum(where[1] == "x-unread" for where, _ in parsed.texts if where) == 2
    assert (
        unread(make_explanation()) == ""
        and "is struck through" not in Parsed(make_explanation().to_html()).visible_text()
    )


def test_the_card_says_that_a_text_has_no_words_and_a_model_no_masks():
    text = Parsed(make_explanation("", spans=()).to_html()).visible_text()
    assert "reads no word of this text" in text and "has no masks" not in text
    dense = make_explanation()
    dense = replace(dense, origin=replace(dense.origin, masked=False))
    food = replace(dense.concepts["food"], subnetwork=Subnetwork(None, {}, "the heads of 'x' are not known"))
    text = Parsed(replace(dense, concepts={"food": food}).to_html()).visible_text()
    assert "no masks: the same dense backbone predicts every concept" in text
    assert "Nothing was ablated: the heads of 'x' are not known" in text and "reads no word" not in text


def test_concepts_are_in_the_order_of_their_contributions():
    assert [(name, length) for name, _, length in by_contribution(make_explanation())] == [
        ("noise", 1.0),
        ("food", 0.5),
    ]


@pytest.mark.parametrize(("value", "text"), [(1.0, "+1.00"), (-0.001, "+0.00"), (-1.5, "−1.50")])
def test_numbers_have_a_sign(value, text):
    assert signed(value) == text


def test_right_to_left_text_sets_its_own_direction():
    parsed = Parsed(make_explanation("הָאֹכֶל טוב", spans=((0, 7), (8, 11))).to_html())
    assert all(some["dir"] == "auto" for tag, some in parsed.elements if some.get("class") == "x-text")


def test_a_notebook_gets_a_fragment_of_a_page():
    html = make_explanation()._repr_html_()
    tags = [tag for tag, _ in Parsed(html).elements]
    assert tags.count("article") == 1 and "html" not in tags and "body" not in tags


def test_many_cards_share_a_page_and_its_style():
    tags = [tag for tag, _ in Parsed(page([make_explanation(), make_explanation("bad", spans=((0, 3),))])).elements]
    assert tags.count("article") == 2 and tags.count("style") == 2  # one of the page, one of the cards
    assert page([make_explanation()]) == make_explanation().to_html() == make_explanation().to_html()


def test_every_kind_of_unit_has_a_name_on_the_card():
    explanation = make_explanation()
    unit = AblatedUnit(2, None, 0.5, "Positive", 0.6)
    food = replace(explanation.concepts["food"], subnetwork=Subnetwork(0.25, dict.fromkeys(KINDS, (unit,))))
    text = Parsed(replace(explanation, concepts={"food": food}).to_html()).visible_text()
    assert "block 2 by +0.50 head 2 by +0.50 feed-forward part of block 2 by +0.50" in text


def test_a_card_of_many_concepts_folds_those_that_contribute_least():
    explanation = many_concepts.explanation()
    shown, folded = explained_concepts(explanation)
    # Contributions go from -0.25 to +0.24, and of equal sizes the first counts.
    assert [name[:9] for name, _ in shown] == [f"aspect {number:02d}" for number in (0, 1, 2, 3, 4, 47, 48, 49)]
    assert len(folded) == 42
    html = page([explanation])
    assert "The words of 42 more concepts, which contribute less" in html
    before, after = html.split("<details><summary>The words of", 1)
    assert (before.count("<h4>aspect"), after.count("<h4>aspect")) == (8, 42)
    assert "The words of" not in page([many_concepts.explanation(concepts=8)])


def test_of_many_states_the_likely_ones_are_named():
    probabilities = {f"s{number}": 0.02 for number in range(20)} | {"s19": 0.62}
    assert likely(probabilities) == [*((f"s{number}", 0.02) for number in range(7)), ("s19", 0.62)]
    assert "12 less likely states" in page([many_concepts.explanation(concepts=1)])
    assert "less likely" not in page([many_concepts.explanation(concepts=1, states=8)])
