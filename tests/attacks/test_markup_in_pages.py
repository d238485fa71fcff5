"""Names, states and notes with markup stay text in the model card, the ledger and the cards of explanations."""

import re

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.markdown import markdown, markdown_code
from sparsecbm.display.model_card import model_card
from sparsecbm.promote.ledger import Ledger, Row
from tests.support.explained_model import with_means
from tests.support.tiny_models import random_masks, tiny_model

SCRIPT = "<script>alert(1)</script>"
IMAGE = "![x](http://evil/x.png)"
ROW = "a | b\n| c | d |"


def test_markdown_is_escaped_by_hand():
    assert markdown(ROW) == "a \\| b\\\\n\\| c \\| d \\|"
    assert markdown(IMAGE) == "!\\[x\\](http://evil/x.png)"
    assert markdown("Positive, 1.5 & more") == "Positive, 1.5 &amp; more"
    assert markdown_code("explain:mean.delete") == "`explain:mean.delete`"
    assert markdown_code("a`<b>") == "a\\`&lt;b&gt;"
    assert markdown("\x1b[2J") == "\\\\x1b\\[2J"


def test_the_model_card_holds_no_markup_of_names(backbone):
    label = Concept(f"l{SCRIPT}`", ("1", "<img src=x onerror=y>"))
    concepts = (Concept(SCRIPT, (IMAGE, ROW)), Concept("a`b`", ("x", "y")))
    model = tiny_model(backbone, ConceptSet(concepts, label))
    model.masks = random_masks(model)
    card = model_card(model)
    assert not re.search(r"<(script|img)", card) and "![x]" not in card
    assert card.count("&lt;script&gt;") == 3  # the table, the densities and the label
    assert "```python" in card
    table = [line for line in card.partition("```python")[0].splitlines() if line.startswith("|")]
    assert len(table) == 4 and all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in table)


def test_the_ledger_holds_no_markup_of_texts():
    row = Row(SCRIPT, f"f{ROW}", "failed", "reject", value=SCRIPT, wanted=IMAGE, reason=f"since {SCRIPT}")
    text = Ledger(f"m`{SCRIPT}", 2, 1, "te|st", "0" * 64, 5, (row,), (f"note {SCRIPT}",), "hold").to_markdown()
    assert "<script" not in text and "![x]" not in text
    assert text.count("&lt;script&gt;") >= 4
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in table] == [9, 9, 9]


def test_a_card_of_an_explanation_holds_no_markup_of_texts(backbone):
    concepts = ConceptSet((Concept(SCRIPT, ("<b>x</b>", "y")),), Concept("<i>l</i>", ("<u>1</u>", "2")))
    model = tiny_model(backbone, concepts)
    model.masks = random_masks(model)
    html = with_means(model).explain(f"the food {SCRIPT} was good", method="mid_path_gradients").to_html()
    assert not re.search(r"<script|<b>x|<i>l|<u>1", html) and "&lt;script&gt;" in html
