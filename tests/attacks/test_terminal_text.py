"""Text from people never controls a terminal: not in any command's output, message, warning or JSON."""

import json
import random
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.terminal_text import one_line, visible, visible_json
from sparsecbm.cli.printing.promotion import show_ledger
from sparsecbm.cli.printing.terminal import Terminal, cell, say, say_json
from sparsecbm.cli.printing.verification import show_verdict
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.pipeline.verify import Output, Score, Verdict
from sparsecbm.promote.ledger import Ledger, Row
from tests.support.explained_model import with_means
from tests.support.patches import patch_by_hand
from tests.support.tiny_models import random_masks, tiny_model

HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PIECES = [
    "\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\x90q\x9c", "\u202eabc", "\u2066", "[/x]", "\\[/x]", "[bold red]",
    "[link=file:///etc]", ":warning:", "\r", "\x00", "\x7f", "\\", "[", "]", "é", "🙂", "<b>", "a" * 30, " ",
]  # fmt: skip


def hostile(seed):
    """Return a text of some of the pieces, never empty."""
    draw = random.Random(seed)
    return "".join(draw.choices(PIECES, k=draw.randint(3, 9)))


def assert_harmless(*outputs):
    for output in outputs:
        assert not HOSTILE.search(output), repr(HOSTILE.search(output)[0])


@example("\x1b[2J[/x]\udcff\u202e\x85\n")
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_the_cleaner_leaves_nothing_hostile_and_no_other_character_changes(text):
    cleaned = visible(text)
    assert not HOSTILE.search(cleaned)
    if cleaned == one_line(text):
        assert "\n" not in cleaned
    if not re.search(r"[^\n\t -~]", text):
        assert cleaned == text  # plain ASCII stays
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text
    assert not HOSTILE.search(visible_json(json.dumps(text, ensure_ascii=False)))


@example("[/x]\\[/x][bold]:warning:")
@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_the_terminal_prints_any_text_and_interprets_no_markup(text):
    for renderable in (text, cell(text)):
        terminal = Terminal()
        terminal.width = 1000
        with terminal.capture() as printed:
            terminal.print(renderable, soft_wrap=True)
        expected = visible(text) if renderable is text else one_line(text)
        assert printed.get() == expected + "\n"


def test_escapes_are_shown(capsys):
    say("a\x1b[2J\x9b\u202e\U000e0041b", error=True)
    say_json({"note": "a\x1b\x9b\u202e"}, indent=None)
    captured = capsys.readouterr()
    assert captured.err == "a\\x1b[2J\\x9b\\u202e\\U000e0041b\n"
    assert captured.out == '{"note": "a\\u001b\\u009b\\u202e"}\n'


@pytest.fixture(scope="module")
def named(backbone):
    """Return a model whose concepts, states and label have hostile names."""
    names = [hostile(seed) for seed in range(20)]
    concepts = (Concept(names[0], tuple(names[1:4])), Concept(names[4], tuple(names[5:7])))
    model = tiny_model(backbone, ConceptSet(concepts, Concept(names[7], tuple(names[8:11]))))
    model.masks = random_masks(model)
    return with_means(model)


@pytest.fixture(scope="module")
def files(named, tmp_path_factory):
    """Return a folder with that model, another one, patches and corrections, with hostile texts in every field."""
    root = tmp_path_factory.mktemp("hostile")
    named.save_pretrained(root / "model")
    other = replace(named.settings, max_length=8)
    named.settings, before = other, named.settings
    named.save_pretrained(root / "other")
    named.settings = before
    (root / "patches").mkdir()
    layer, concept = min(named.masks.shapes), named.concept_set.names[0]
    fields = {"author": hostile(30), "note": hostile(31), "made": {"forced": True, hostile(32): hostile(33)}}
    patch = replace(
        patch_by_hand(named, {layer: (0, 1)}, concept), state=named.concept_set[concept].states[0], **fields
    )
    patch.save(root / "patches" / "a.patch")
    memory = Memory(root / "store")
    for seed in range(40, 43):
        memory.add(named, hostile(seed), concept, patch.state, hostile(seed + 50), hostile(seed + 60))
    (root / "texts.jsonl").write_text("".join(json.dumps(hostile(seed)) + "\n" for seed in range(70, 76)))
    return root


TEXTS = ["--text", hostile(80).replace("\0", ""), "--text", "food[/x]\x1b[2J"]


def commands(root, concept, state):
    model, store, patch = root / "model", root / "store", root / "patches" / "a.patch"
    setting = f"{concept}={state}"
    return {
        "predict": ["predict", model, "--file", root / "texts.jsonl"],
        "explain": ["explain", model, *TEXTS, "--method", "mid_path_gradients"],
        "intervene": ["intervene", model, *TEXTS, "--set", setting],
        "intervene --json": ["intervene", model, *TEXTS, "--set", setting, "--json"],
        "masks": ["masks", model],
        "masks --json": ["masks", model, "--json"],
        "compare": ["compare", model, root / "other", "--file", root / "texts.jsonl"],
        "compare --json": ["compare", model, root / "other", "--json"],
        "patch show": ["patch", "show", patch],
        "patch show --json": ["patch", "show", patch, "--json"],
        "patch list": ["patch", "list", root / "patches"],
        "patch list --json": ["patch", "list", root / "patches", "--json"],
        "memory list": ["memory", "list", store],
        "memory offer": ["memory", "offer", model, store, *TEXTS, "--threshold", "-1"],
        "memory apply": ["memory", "apply", model, store, *TEXTS, "--threshold", "-1"],
        "memory apply --json": ["memory", "apply", model, store, *TEXTS, "--threshold", "-1", "--json"],
    }


@pytest.mark.parametrize("name", commands(Path(), "", ""))
def test_no_command_lets_a_text_control_the_terminal(files, named, sparsecbm, name):
    concept = named.concept_set.names[0]
    arguments = commands(files, concept, named.concept_set[concept].states[0])[name]
    code, output, errors = sparsecbm(*arguments)
    assert (code, errors) == (0, "") and output
    assert_harmless(output, errors)
    if name.endswith("--json"):
        json.loads(output)


def test_markup_in_a_note_is_printed_as_it_is(files, named, sparsecbm, tmp_path):
    layer = min(named.masks.shapes)
    patch = patch_by_hand(named, {layer: (2,)}, named.concept_set.names[0])
    replace(patch, author="\\[/x]", note="[/x] [bold]b[/]").save(tmp_path / "a.patch")
    for command in (("show", tmp_path / "a.patch"), ("list", tmp_path)):
        code, output, _ = sparsecbm("patch", *command)
        assert code == 0 and "\\[/x]" in output.replace(" ", "") and "[bold]b[/]" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "\x1b[2J"], ["--\x1b[2J"], ["\x1b[2J"], ["masks", "\x9b[/x]"], ["patch", "show", "\x1b]0;x\x07"],
        ["explain", "nowhere", "--text", "a", "--method", "\x1b[2J"], ["predict", "nowhere", "--text", "\udcff"],
        ["memory", "list", "\u202e"], ["intervene", "nowhere", "--text", "a", "--set", "\x1b"], ["run", "\x1b[2J"],
    ],
)  # fmt: skip
def test_no_message_repeats_an_argument_as_it_is(tiny_workspace, monkeypatch, sparsecbm, arguments):
    monkeypatch.chdir(tiny_workspace.root)
    code, output, errors = sparsecbm(*arguments)
    assert code in (1, 2) and errors
    assert_harmless(output, errors)


def test_a_warning_is_one_clean_line(monkeypatch, sparsecbm):
    from sparsecbm.cli import app

    def warn(*_, **__):
        warnings.warn("the state \x1b[2J is rare", stacklevel=1)

    monkeypatch.setattr(app, "app", warn)
    assert sparsecbm() == (0, "", "warning: the state \\x1b[2J is rare\n")


def test_ledgers_and_verdicts_print_texts_as_they_are(capsys):
    rows = (Row(hostile(1), hostile(2), "failed", "reject", hostile(3), 0.5, reason=hostile(4)),)
    ledger = Ledger(hostile(5), 2, 1, "test", "", 10, rows, (hostile(6), "a note [/x]"), "hold")
    show_ledger(ledger)
    show_verdict(Verdict((Output("fit", hostile(7), "a", "b"),), (Score(hostile(8), 0.0, 1.0),)))
    output = capsys.readouterr().out
    assert_harmless(output)
    assert "a note [/x]" in output and "REJECT version 2 of" in output
