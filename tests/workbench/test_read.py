"""The page on which people read: its figures are those of the commands, and a concept that is set changes the label."""

import pytest

from sparsecbm.data.tables import read_split
from sparsecbm.display.card import signed
from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.intervene.edits import intervene
from sparsecbm.workbench.split_texts import SplitTexts

TEXT = "the food was good and the place was loud"


def share(value):
    return f"{value:.0%}"


def test_the_first_page_reads_a_text_of_the_data(ask, words_of):
    response = ask("GET", "/", whole=True)
    assert response.status_code == 200 and "<!doctype html>" in response.text
    assert "the food was" in words_of(response) or "we came again" in words_of(response)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_reading_shows_the_figures_of_predict(ask, words_of, snapshot):
    (expected,) = snapshot.model.predict([TEXT])
    told = words_of(ask("POST", "/read", data={"text": TEXT}))
    assert f"rating: {expected.label.state} {share(expected.label.confidence)}" in told
    for concept in expected.concepts.values():
        for state, probability in concept.probabilities.items():
            read = " as read" if state == concept.state else ""
            assert f"{state}{read} {share(probability)}" in told


def test_a_concept_that_is_set_changes_the_label_as_intervene_says(ask, words_of, snapshot):
    before = snapshot.model.predict([TEXT])[0].concepts["food"].state
    other = next(state for state in snapshot.model.concept_set["food"].states if state != before)
    edit = intervene(snapshot.model, TEXT, {"food": other})
    fields = {"text": TEXT, "read.food": before, "set.food": other, "read.noise": "loud", "set.noise": "loud"}
    told = words_of(ask("POST", "/read", data=fields))
    assert f"You set food to {other}. As read, the label was {edit.before.label.state}" in told
    assert f"rating: {edit.after.label.state} {share(edit.after.label.confidence)}" in told


def test_a_state_that_is_set_as_it_was_read_is_no_edit(ask, words_of, snapshot):
    (expected,) = snapshot.model.predict([TEXT])
    fields = {"text": TEXT}
    for name, concept in expected.concepts.items():
        fields |= {f"read.{name}": concept.state, f"set.{name}": concept.state}
    told = words_of(ask("POST", "/read", data=fields))
    assert "You set" not in told and f"rating: {expected.label.state} {share(expected.label.confidence)}" in told


def test_words_are_marked_as_explain_says_quickly_and_then_exactly(ask, snapshot):
    for method, follows in (("mid_path_gradients", True), ("integrated_gradients", False)):
        (expected,) = explain(snapshot.model, [TEXT], ExplainOptions(method=method, units=()))
        page = ask("POST", "/words", data={"text": TEXT, "method": method}).text
        for scores in (expected.label.words, expected.concepts["food"].words):
            largest = max(scores.scores, key=abs)
            assert f'title="{largest:+.2f}"'.replace("-", "−") in page
        assert ('"method": "integrated_gradients"' in page) == follows


def test_the_parts_of_a_subnetwork_are_those_of_explain_for_the_state_that_is_set(ask, words_of, snapshot):
    read = snapshot.model.predict([TEXT])[0].concepts["food"].state
    other = next(state for state in snapshot.model.concept_set["food"].states if state != read)
    for fields, states in (({}, {}), ({"read.food": read, "set.food": other}, {"food": other})):
        (expected,) = explain(snapshot.model, [TEXT], ExplainOptions(method="mid_path_gradients", states=states))
        told = words_of(ask("POST", "/parts", data={"text": TEXT, **fields}))
        assert f"The logit of {other if states else read} falls without" in told
        effects = [unit.effect for units in expected.concepts["food"].subnetwork.largest.values() for unit in units]
        assert effects and all(f"by {signed(effect)}" in told for effect in effects)


def test_the_fewest_parts_are_those_of_explain_and_come_on_request_alone(ask, words_of, snapshot):
    options = ExplainOptions(method="mid_path_gradients", units=("sufficient",))
    (expected,) = explain(snapshot.model, [TEXT], options)
    sets = {name: concept.subnetwork.sufficient for name, concept in expected.concepts.items()}
    assert any(found.parts for found in sets.values()), "the tiny model needs no part for any concept"
    response = ask("POST", "/parts", data={"text": TEXT, "fewest": "yes"})
    assert 'class="x-effect"' in response.text and "style=" not in response.text, "the policy forbids such styles"
    told = words_of(response)
    for name, found in sets.items():
        whole = f"{found.heads} heads and {found.neurons} neurons"
        assert f"Of its {whole}, {len(found.parts)} " in told or (
            not found.parts and f"Without any of its {whole}" in told
        ), name
        assert all(f"{part.kind} {part.block}.{part.index} {signed(part.effect)}" in told for part in found.parts[:3])
    assert "falls without" not in told, "blocks and heads are another question"
    assert "neurons" not in words_of(ask("POST", "/parts", data={"text": TEXT}))


def test_an_edited_text_shows_what_changed(ask, words_of, snapshot):
    states = {}
    for text in ("the food was bad", TEXT, "the place was quiet", "we came again"):
        states.setdefault(snapshot.model.predict([text])[0].concepts["food"].state, text)
    assert len(states) > 1, "the tiny model reads all texts alike"
    (old, original), (new, text) = list(states.items())[:2]
    told = words_of(ask("POST", "/read", data={"text": text, "original": original}))
    assert f"food was {old} before the edit" in told and new != old
    assert "before the edit" not in words_of(ask("POST", "/read", data={"text": text, "original": text}))


def test_the_first_page_reads_one_text_and_not_the_whole_split(ask, monkeypatch):
    monkeypatch.setattr(SplitTexts, "predicted", None)
    for path in ("/", "/compare"):
        response = ask("GET", path, whole=True)
        assert response.status_code == 200 and "the place was" in response.text


def test_markup_in_a_text_is_shown_and_not_obeyed(ask):
    page = ask("POST", "/read", data={"text": "<script>alert(1)</script> the food"}).text
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page


@pytest.mark.parametrize(
    ("path", "fields", "status", "message"),
    [
        ("/read", {"text": "  "}, 422, "the text is empty"),
        ("/read", {"text": TEXT, "set.fod": "good"}, 422, "Did you mean 'food'?"),
        ("/read", {"text": TEXT, "set.food": "nice"}, 422, "unknown state of 'food'"),
        ("/read", {"text": "word " * 10_000}, 413, "50000 characters, and 20000 are allowed"),
        ("/words", {"text": TEXT, "method": "magic"}, 422, "unknown method 'magic'"),
    ],
)
def test_wrong_input_is_told_on_the_page(ask, words_of, path, fields, status, message):
    response = ask("POST", path, data=fields)
    assert response.status_code == status and message in words_of(response)
    assert response.headers["HX-Retarget"] == "#notice"


def test_a_field_that_is_given_twice_is_refused(ask, words_of):
    response = ask("POST", "/read", content=b"text=a&text=b")
    assert response.status_code == 422 and "given twice" in words_of(response)


def test_scripts_and_style_come_from_the_server_and_no_other_file_does(ask):
    assert "htmx" in ask("GET", "/static/htmx.min.js").text
    assert "--paper" in ask("GET", "/static/workbench.css").text
    assert ask("GET", "/static/..%2Fpages.py").status_code == 404


def test_the_interface_for_programs_is_there_too(ask, snapshot):
    answer = ask("POST", "/v1/predict", json={"texts": [TEXT]}).json()
    assert answer["predictions"][0]["label"] == snapshot.model.predict([TEXT])[0].label.state
    wrong = ask("POST", "/v1/predict", json={"texts": [TEXT], "options": {"edits": {"fod": "x"}}})
    assert "Did you mean" in wrong.json()["error"]


def test_an_unknown_address_is_told_to_people_and_programs(ask, words_of):
    page = ask("GET", "/redings", whole=True)
    assert page.status_code == 404 and "there is no page /redings" in words_of(page)
    program = ask("GET", "/v1/redings", whole=True)
    assert program.status_code == 404 and program.json()["error"]


def test_what_people_say_stands_beside_what_is_read(ask, words_of, workspace, snapshot):
    """Of a text of the data; an edited one is nobody's."""
    row = read_split(workspace.annotated, "test").iloc[0]
    read = snapshot.model.predict([row["text"]])[0]
    page = ask("GET", "/", whole=True, params={"text": row["text"]})
    for name in ("food", "noise"):
        assert f"{name} labelled: {row[f'concept.{name}']}" in words_of(page)
    differing = [name for name in ("food", "noise") if read.concepts[name].state != row[f"concept.{name}"]]
    assert page.text.count('<span class="changed">labelled:') == len(differing)
    assert ("Labelled: " + row["label"] in words_of(page)) == (read.label.state != row["label"])
    assert "eople: " not in words_of(ask("GET", "/", whole=True, params={"text": row["text"] + " indeed"}))
