"""Two readings side by side: two texts, two models, with and without a patch; nothing is written to a model."""

import shutil

import pytest

from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.model.checksums import model_checksum
from sparsecbm.workbench import readers
from sparsecbm.workbench.comparison import compare_words
from tests.support.served_model import save_served_model

LEFT, RIGHT = "the food was good and hot", "the food was bad and the place was loud"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return the folder of another model of the same concepts."""
    return save_served_model(tmp_path_factory.mktemp("other"), seed=5)


@pytest.fixture
def with_other(workspace, other):
    """Put the other model into the workspace, and return it loaded."""
    shutil.copytree(other.model, workspace.root / "models" / "other")
    return other.snapshot().model


@pytest.fixture
def patch(workspace, snapshot, folder):
    """Approve a patch, and return it."""
    approved = workspace.patch_requests / "approved"
    approved.mkdir(parents=True)
    shutil.copy(next(folder.patches.glob("*.patch")), approved / "0123456789ab.patch")
    return next(iter(snapshot.patches.values()))


def shown(prediction):
    """Return name -> state, and its probability as the page writes it, the label first."""
    variables = {"rating": prediction.label, **prediction.concepts}
    return {name: (each.state, f"{each.confidence:.0%}") for name, each in variables.items()}


def assert_compared(words, left, right):
    """The page shows both predictions, row by row, and names exactly what differs."""
    left, right = shown(left), shown(right)
    differing = [name for name in left if left[name][0] != right[name][0]]
    for name in left:
        mark = " differs" if name in differing else ""
        assert f"{name}{mark} {' '.join(left[name])} {' '.join(right[name])}" in words
    assert (f"Different: {', '.join(differing)} ." if differing else "are the same") in words


def test_two_texts_are_compared(ask, words_of, snapshot):
    left, right = snapshot.model.predict([LEFT, RIGHT])
    assert_compared(words_of(ask("POST", "/compare", data={"left": LEFT, "right": RIGHT})), left, right)


def test_one_text_is_compared_under_two_models(ask, words_of, snapshot, with_other):
    before = model_checksum(snapshot.model)
    words = words_of(ask("POST", "/compare", data={"left": LEFT, "right": "", "right.reader": "folder:other"}))
    assert_compared(words, *snapshot.model.predict([LEFT]), *with_other.predict([LEFT]))
    assert model_checksum(snapshot.model) == before


def test_one_text_is_compared_with_and_without_a_patch(ask, words_of, snapshot, patch):
    before, (plain,) = model_checksum(snapshot.model), snapshot.model.predict([LEFT])
    with patched(snapshot.model, patch):
        (changed,) = snapshot.model.predict([LEFT])
    assert changed != plain
    fields = {"left": LEFT, "right": LEFT, "right.reader": "patch:0123456789ab"}
    assert_compared(words_of(ask("POST", "/compare", data=fields)), plain, changed)
    assert model_checksum(snapshot.model) == before and snapshot.model.predict([LEFT]) == [plain]


def test_equal_sides_are_told(ask, words_of):
    assert "Both sides are the same text" in words_of(ask("POST", "/compare", data={"left": LEFT}))


def test_another_model_is_loaded_once(ask, with_other, monkeypatch):
    loaded, load = [], readers.load_snapshot
    monkeypatch.setattr(readers, "load_snapshot", lambda *each: loaded.append(each) or load(*each))
    for text in (LEFT, RIGHT):
        ask("POST", "/compare", data={"left": text, "right.reader": "folder:other"})
    assert len(loaded) == 1


def test_words_that_only_one_side_has_are_marked(ask, snapshot):
    page = ask("POST", "/compare/words", data={"left": LEFT, "right": RIGHT}).text
    marked = page.count("<mark")
    left, right = explain(snapshot.model, [LEFT, RIGHT], ExplainOptions(method="mid_path_gradients", units=()))
    views = compare_words(left, right)
    assert [view.name for view in views] == ["label", "food", "noise"]
    for view in views:
        assert [piece.text for piece in view.left if piece.only_here] == ["good", "hot"]
        assert [piece.text for piece in view.right if piece.only_here] == ["bad", "the", "place", "was", "loud"]
        assert "".join(piece.text for piece in view.left) == LEFT
        assert "".join(piece.text for piece in view.right) == RIGHT
    assert marked == 3 * 7


def test_words_whose_scores_differ_are_named_the_largest_difference_first(snapshot):
    options = ExplainOptions(method="mid_path_gradients", units=())
    left, right = explain(snapshot.model, [LEFT, "the food was bad"], options)
    view = compare_words(left, right)[1]
    scores = [dict(zip([word.word for word in each.words], each.concepts["food"].words.scores, strict=True))
              for each in (left, right)]  # fmt: skip
    gaps = [abs(change.right - change.left) for change in view.changes]
    assert gaps == sorted(gaps, reverse=True) and 0 < len(gaps) <= 3
    for change in view.changes:
        assert (change.left, change.right) == (scores[0][change.word], scores[1][change.word])
    assert compare_words(left, left)[1].changes == ()


def test_the_words_follow_exactly(ask, words_of):
    first = ask("POST", "/compare/words", data={"left": LEFT, "right": RIGHT})
    assert "By mid path gradients; integrated gradients follow" in words_of(first)
    fields = {"left": LEFT, "right": RIGHT, "method": "integrated_gradients"}
    assert "By integrated gradients." in words_of(ask("POST", "/compare/words", data=fields))


def test_a_reading_leads_to_its_comparison(ask):
    page = ask("POST", "/read", data={"text": RIGHT, "original": LEFT}).text
    form = page[page.index('action="/compare"') :]
    assert f'name="left" value="{LEFT}"' in form and f'name="right" value="{RIGHT}"' in form


def test_markup_is_shown_and_not_obeyed(ask):
    fields = {"left": "<script>alert(1)</script>", "right": "<b>loud</b>"}
    for path in ("/compare", "/compare/words"):
        page = ask("POST", path, whole=True, data=fields).text
        assert "<script>alert" not in page and "<b>loud" not in page


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"left": LEFT, "right.reader": "folder:../../etc"}, 422, "unknown reader"),
        ({"left": LEFT, "left.reader": "patch:ffffffffffff"}, 422, "unknown reader"),
        ({"left": LEFT, "left.reader": "folder:other", "right.reader": "folder:third"}, 422, "do not fit into memory"),
        ({"left": "word " * 10_000}, 413, "20000 are allowed"),
    ],
)
@pytest.mark.parametrize("path", ["/compare", "/compare/words"])
def test_wrong_input_is_told(ask, words_of, path, fields, status, message):
    response = ask("POST", path, data=fields)
    assert response.status_code == status and message in words_of(response)


def test_a_damaged_model_is_told(ask, words_of, workspace, with_other):
    (workspace.root / "models" / "other" / "config.json").write_text("{}")
    response = ask("POST", "/compare", data={"left": LEFT, "right.reader": "folder:other"})
    assert response.status_code >= 400 and "config.json" in words_of(response)
