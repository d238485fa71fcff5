"""Leases keep two people from one text, for a while."""

import pytest

from sparsecbm.annotate.review import leases as module
from sparsecbm.annotate.review.leases import Leases


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    return now


def test_a_text_belongs_to_one_author_until_the_lease_ends(tmp_path, clock):
    leases = Leases(tmp_path / "new" / "leases.json")
    assert leases.take("a", "ann") and leases.take("a", "ann")
    assert not Leases(tmp_path / "new" / "leases.json").take("a", "bob")
    clock[0] += module.SECONDS + 1
    assert leases.take("a", "bob") and not leases.take("a", "ann")


def test_the_next_text_and_the_end_give_a_text_back(tmp_path, clock):
    leases = Leases(tmp_path / "leases.json")
    leases.take("a", "ann")
    leases.take("b", "ann")
    assert leases.take("a", "bob") and not leases.take("b", "bob")
    leases.release("ann")
    assert leases.take("b", "bob")


def test_a_damaged_file_holds_no_lease(tmp_path, clock):
    for content in ("{", "[]", '{"a": 1}', '{"a": ["ann", "soon"]}'):
        (tmp_path / "leases.json").write_text(content)
        assert Leases(tmp_path / "leases.json").take("a", "bob")
