"""Whatever somebody writes into the registry's tags: no stack trace, no altered entry unnoticed, and a way back."""

import json
import random

import pytest

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.promote import transaction
from sparsecbm.promote.history import ENTRY_TAG, Entry, HistoryBrokenError, champion_stack, entry_key
from sparsecbm.promote.record_texts import REASON_LENGTH
from sparsecbm.promote.registry import INTENT_TAG, KIND, KIND_TAG, Registry
from sparsecbm.promote.transaction import Decision, PromotionError, inspect_registry, promote, restart, rollback
from tests.support.fake_mlflow_client import FakeClient

SEED = 20
DECISION = Decision("PROMOTE", "it is better")


def works():
    """A smoke test that passes."""


@pytest.fixture
def registry(tmp_path):
    """Return a registry with the champions 1, 2, 3 in turn, and this workspace's anchors."""
    registry = Registry(FakeClient(), "m", tmp_path / "anchors")
    registry.create()
    for number in (1, 2, 3, 4):
        registry.client.create_model_version("m", tags={KIND_TAG: KIND})
        if number < 4:
            promote(registry, number, number - 1 or None, DECISION, works)
    return registry


def tags_of(registry):
    return registry.client.models["m"].tags


VALUES = (
    None, True, -1, 0, 2**31, 2**63, 10**30, 1.0, "", "1", "\x1b[31m", "[/red]", "[bold]", "\x00", "é" * 40, [], {},
    [1, 2, 3], [None], [True, None], {"a": 1}, "0" * 64, "promote", "restart", "2001-01-01", "9" * 100,
)  # fmt: skip
TEXTS = (
    "", "{", "{}", "[]", "null", "1", '"x"', "[" * 100_000, '{"a":' * 50_000, "1" * 5000, "NaN", "\ud800", "\x00",
    '{"number": 1, "number": 2}', "[/x]\x1b]0;t\x07", "\ufeff{}", " " * 10_000,
)  # fmt: skip


def mutate(draw: random.Random, text: str) -> str:
    """Change a JSON text: a value, a key, its bytes, or all of it."""
    plain = json.loads(text)
    key = draw.choice(sorted(plain))
    kind = draw.randrange(6)
    if kind == 0:
        plain[key] = draw.choice(VALUES)
    elif kind == 1:
        del plain[key]
    elif kind == 2:
        plain[draw.choice(("extra", "Number", "hash"))] = draw.choice(VALUES)
    elif kind == 3:
        position = draw.randrange(len(text))
        return text[:position] + draw.choice('{}[]",:0x\\\x1b') + text[position + 1 :]
    elif kind == 4:
        return text[: draw.randrange(len(text))] + draw.choice(TEXTS)
    else:
        return draw.choice(TEXTS)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def test_400_mutated_entries_are_noticed_and_can_be_settled(registry):
    draw = random.Random(SEED)
    tags, original = tags_of(registry), dict(tags_of(registry))
    versions = {number: dict(version.tags) for number, version in registry.client.models["m"].versions.items()}
    path = next(registry.anchors.glob("*.json"))
    head, tried = path.read_text(), 0
    while tried < 400:
        key = entry_key(draw.choice((1, 2, 3)))
        changed = mutate(draw, original[key])
        if changed == original[key]:
            continue
        tried += 1
        tags[key] = changed
        state = inspect_registry(registry)
        assert state.history_faults, changed[:200]
        assert all(fault.isprintable() for fault in state.history_faults)
        with pytest.raises(HistoryBrokenError, match=r"sparsecbm history --restart"):
            promote(registry, 4, 3, DECISION, works)
        assert registry.aliases() == (3, 2)
        if tried % 10 == 0:
            assert restart(registry, "seen", works).action == "restart"
            assert promote(registry, 4, 3, DECISION, works).after == (4, 3)
            assert rollback(registry, "back", works).after == (3, 2)
            assert tags[key] == changed  # nothing is deleted
        tags.clear()
        tags.update(original)
        for number, version in registry.client.models["m"].versions.items():
            version.tags = dict(versions[number])
        registry.client.set_registered_model_alias("m", "previous", "2")
        path.write_text(head)
    assert inspect_registry(registry).history_faults == ()  # negative control: the original is valid


def test_200_mutated_intents_end_in_one_error_or_are_settled(registry):
    draw = random.Random(SEED)
    stored = []
    registry.client.set_registered_model_alias, set_alias = None, registry.client.set_registered_model_alias
    with pytest.raises(TypeError):  # as if killed: the intent is stored, and nothing moved
        promote(registry, 4, 3, DECISION, works)
    registry.client.set_registered_model_alias = set_alias
    stored, before = tags_of(registry)[INTENT_TAG], dict(tags_of(registry))
    for _ in range(200):
        tags_of(registry)[INTENT_TAG] = mutate(draw, stored)
        inspect_registry(registry)
        try:
            rollback(registry, "back", works)
        except SparseCBMError as error:
            assert str(error).isprintable()
        assert registry.intent() is None
        assert inspect_registry(registry).history_faults == ()
        tags = tags_of(registry)
        for key in [key for key in tags if key.startswith(ENTRY_TAG) and key not in before]:
            del tags[key]
        for version in registry.client.models["m"].versions.values():
            version.tags = {key: value for key, value in version.tags.items() if key in before or key == KIND_TAG}
        for file in registry.anchors.glob("*.json"):
            file.unlink()
        registry.client.models["m"].aliases = {"champion": "3", "previous": "2"}


def test_an_altered_last_entry_is_noticed_by_version_and_by_workspace(registry):
    tags, key = tags_of(registry), entry_key(3)
    changed = json.loads(tags[key])
    changed["by"] = "somebody else"
    tags[key] = json.dumps(changed, sort_keys=True, ensure_ascii=False)
    state = inspect_registry(registry)
    assert state.history_faults[0] == "entry 3 was altered: version 3 holds another hash of it"
    registry.tag_version(3, {key: Entry.from_json(tags[key]).hash})  # who can write there, too
    (fault,) = inspect_registry(registry).history_faults
    assert fault.startswith("entry 3 was altered: ") and fault.endswith(".json holds another hash of it")
    # Negative control: without this workspace's file, nothing contradicts the forgery.
    assert inspect_registry(Registry(registry.client, "m")).history_faults == ()


def test_a_wholly_forged_chain_is_noticed_by_the_workspace(registry):
    tags, earlier = tags_of(registry), "0" * 64
    for number in (1, 2, 3):
        forged = json.loads(tags[entry_key(number)]) | {"reason": "forged", "earlier": earlier}
        tags[entry_key(number)] = json.dumps(forged, sort_keys=True, ensure_ascii=False)
        earlier = Entry.from_json(tags[entry_key(number)]).hash
        registry.tag_version(number, {entry_key(number): earlier})
    assert registry.history().faults == ()
    assert "holds another hash of it" in inspect_registry(registry).history_faults[0]


@pytest.mark.parametrize("keep_tags", [True, False])
def test_a_dropped_last_entry_is_noticed(registry, keep_tags):
    del tags_of(registry)[entry_key(3)]
    if not keep_tags:
        registry.client.models["m"].versions[3].tags = {KIND_TAG: KIND}
    witness = "version 3" if keep_tags else str(next(registry.anchors.glob("*.json")))
    assert f"entry 3 is missing, although {witness} holds its hash" in inspect_registry(registry).history_faults


def test_a_restart_is_refused_without_need_or_reason_and_seals_what_it_accepted(registry):
    with pytest.raises(PromotionError, match="valid, so there is nothing to restart"):
        restart(registry, "why not", works)
    tags = tags_of(registry)
    tags[entry_key(2)] = "{}"
    with pytest.raises(ConfigError, match="needs --reason"):
        restart(registry, " ", works)
    entry = restart(registry, "a colleague's script", works)
    assert (entry.number, entry.before, entry.after) == (4, (3, 2), (3, 2))
    assert entry.reason.startswith("a colleague's script (sparsecbm.history.000002: ")
    assert inspect_registry(registry).history_faults == ()
    assert champion_stack(registry.history().entries) == [2, 3]
    assert rollback(registry, "back", works).after == (2, None)
    tags[entry_key(2)] = "{ }"
    assert "an entry before entry 4, the restart, was altered, added or deleted" in registry.history().faults


def test_a_restart_outlives_an_entry_of_a_forged_high_number(registry):
    tags_of(registry)[entry_key(999_999)] = "x"
    assert restart(registry, "seen", works).number == 1_000_000
    assert promote(registry, 4, 3, DECISION, works).number == 1_000_001
    assert inspect_registry(registry).history_faults == ()


@pytest.mark.parametrize("number", [999_999_999, 999_999_998, 999_000_000])
def test_a_restart_leaves_room_for_later_entries(registry, number):
    """Else the next promotion would need an entry of ten digits, which nobody could read."""
    tags_of(registry)[entry_key(number)] = "x"
    before = dict(tags_of(registry))
    with pytest.raises(PromotionError, match=rf"delete its tag sparsecbm\.history\.{number} in MLflow"):
        restart(registry, "seen", works)
    assert tags_of(registry) == before
    del tags_of(registry)[entry_key(number)]
    assert promote(registry, 4, 3, DECISION, works).number == 4


@pytest.mark.parametrize("key", ["sparsecbm.history.", "sparsecbm.history.x", "sparsecbm.history.0000004", "[/red]"])
def test_tags_that_are_no_entries_are_ignored_and_named(registry, key):
    tags_of(registry)[key] = "anything"
    assert promote(registry, 4, 3, DECISION, works).number == 4
    named = [note for note in registry.history().notes if repr(key) in note]
    assert len(named) == key.startswith("sparsecbm.history.")


@pytest.mark.parametrize("length", [REASON_LENGTH + 1, 99_750, 100_001])
def test_a_reason_that_is_too_long_is_refused_before_anything_moves(registry, length):
    before = dict(tags_of(registry))
    with pytest.raises(ConfigError, match=rf"--reason has {length} characters; the history keeps 2000"):
        rollback(registry, "x" * length, works)
    with pytest.raises(ConfigError, match="shorten it"):
        transaction.require_reason(True, "x" * length)
    assert tags_of(registry) == before and registry.aliases() == (3, 2)


@pytest.mark.parametrize("reason", ['"' * REASON_LENGTH, "\\" * REASON_LENGTH, "語" * REASON_LENGTH, "\x00\ud800\x1b"])
def test_the_longest_reasons_fit_the_columns_of_every_database(registry, reason):
    lengths = []
    write = registry.client.set_registered_model_tag
    registry.client.set_registered_model_tag = lambda name, key, value: (
        lengths.append(len(value.encode("utf-8").decode())), write(name, key, value)
    )  # fmt: skip
    assert rollback(registry, reason, works).reason.isprintable()
    assert max(lengths) <= 5000
    assert inspect_registry(registry).history_faults == ()


def test_an_intent_of_the_past_with_a_huge_reason_is_settled(registry):
    """The alias moved, and the entry was too long to be written."""
    intent = {
        "operation": "a" * 32, "action": "rollback", "version": 2, "before": [3, 2], "after": [2, 1],
        "why": {"verdict": "", "reason": "x" * 99_750, "forced": False, "ledger": ""},
    }  # fmt: skip
    tags_of(registry)[INTENT_TAG] = json.dumps(intent)
    registry.client.models["m"].aliases = {"champion": "2", "previous": "3"}
    assert "interrupted after the champion moved" in inspect_registry(registry).interrupted
    assert rollback(registry, "and once more", works).after == (1, None)
    assert [entry.action for entry in registry.entries()[3:]] == ["rollback", "rollback"]
    assert len(registry.entries()[3].reason) == REASON_LENGTH


def test_a_user_without_a_name_is_a_number_and_nothing_is_wedged(registry, monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("sparsecbm.promote.record_texts.getpass.getuser", nameless)
    monkeypatch.setattr("sparsecbm.promote.record_texts.os.getuid", lambda: 4711)
    assert promote(registry, 4, 3, DECISION, works).by == "uid 4711"
    monkeypatch.setattr("sparsecbm.promote.record_texts.getpass.getuser", lambda: "x\x1b[2J" * 100)
    entry = rollback(registry, "back", works)
    assert len(entry.by) == 100 and entry.by.isprintable()


def test_a_smoke_test_with_an_endless_message_is_undone_and_recorded(registry):
    def fails():
        raise RuntimeError("\x1b[31m" + "x" * 200_000)

    with pytest.raises(PromotionError, match="the alias moved back to version 3"):
        promote(registry, 4, 3, DECISION, fails)
    assert registry.aliases() == (3, 2)
    assert len(registry.entries()[-1].reason) == REASON_LENGTH
    assert promote(registry, 4, 3, DECISION, works).after == (4, 3)


def test_an_anchor_file_that_is_none_is_named(registry):
    path = next(registry.anchors.glob("*.json"))
    for content in (b"", b"{}", b"[" * 100_000, b'{"model": "m", "number": "3", "sha256": ""}', b"\xff\xfe"):
        path.write_bytes(content)
        assert inspect_registry(registry).history_faults == (
            f"{path} does not hold the number and the hash of an entry",
        )
    restart(registry, "the disk was full", works)
    assert inspect_registry(registry).history_faults == ()


def test_an_intent_of_another_machine_ends_the_later_promotion(registry):
    write = registry.client.set_registered_model_tag

    def overtaken(name, key, value):
        write(name, key, value.replace('"operation": "', '"operation": "f') if key == INTENT_TAG else value)

    registry.client.set_registered_model_tag = overtaken
    with pytest.raises(PromotionError, match="another machine has just begun a promotion"):
        promote(registry, 4, 3, DECISION, works)
    assert registry.aliases() == (3, 2)
