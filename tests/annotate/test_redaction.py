"""Personal data is replaced before a text leaves, nothing else is, and all comes back."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecbm.annotate.redaction import KINDS, Redacted, Redactor, Span, join_overlaps
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.extras import MissingExtraError

spacy = pytest.importorskip("spacy")
pytest.importorskip("presidio_analyzer")

PLAIN_KINDS = [kind for kind in KINDS if kind != "name"]
FOUND = [
    ("write to jo.smith+shop@mail.example.co.uk.", "write to <EMAIL_1>."),
    ("write to jo@firma.local, it is a local host", "write to <EMAIL_1>, it is a local host"),
    ("call +44 20 7946 0958 after six", "call <PHONE_1> after six"),
    ("call 0049 30 901820 or (212) 555-0142", "call <PHONE_1> or <PHONE_2>"),
    ("my number is 2125550142", "my number is <PHONE_1>"),
    ("paid with 4111 1111 1111 1111, exp 12/27", "paid with <CARD_1>, exp 12/27"),
    ("amex 378282246310005", "amex <CARD_1>"),
    ("see https://www.example.com/a?b=c.", "see <URL_1>."),
    ("(WWW.Example.org/menu) and example.org", "(<URL_1>) and <URL_2>"),
    ("send it to DE89 3704 0044 0532 0130 00 please", "send it to <IBAN_1> please"),
    ("the printer at 192.168.1.10, 2001:db8::8a2e:370:7334 and ::1", "the printer at <IP_1>, <IP_2> and <IP_3>"),
]
LEFT = [
    "order number 4839201745 never came",
    "order 2024-551-7781, ticket 555-0199, invoice 2026-0017, case 20261130-0042",
    "I paid 1,299.00 for it in 2024, it was 2,499.00 in 2023",
    "since 1999, and in 2004 2005 2006",
    "4.5 stars out of 5, 10/10, 5*, +1 for the idea, 100 %",
    "a card of 4111 1111 1111 1112 has a wrong digit at its end",
    "points 1500 2000 3000 4000, serial 8845-2231-9987-1203",
    "ISBN 978-3-16-148410-0, tracking 1Z999AA10123456784",
    "Great phone.It works.So good. I ate the steak.In the bar.At noon",
    "at 10:30:45 on 30.11.2026, 2026-11-30 19:30:00, lap 1:23:456, a :: b",
    "version 1.2.3 and 1.2.3.4.5, 12 eggs, 500 g, 180 C",
    "dial 112, room 214, 10115 Berlin",
    "meet me @ noon, @jo said",
]


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(PLAIN_KINDS)


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_personal_data_is_replaced_and_comes_back(redactor, text, expected):
    redacted = redactor.redact(text)
    assert redacted.text == expected
    assert redacted.restore(redacted.text) == text


@pytest.mark.parametrize("text", LEFT)
def test_orders_prices_years_ratings_and_plain_words_stay(redactor, text):
    assert redactor.redact(text) == Redacted(text, {})


def test_only_the_kinds_that_were_asked_for_are_replaced():
    text = "jo@example.org, +44 20 7946 0958"
    assert Redactor(["phone"]).redact(text).text == "jo@example.org, <PHONE_1>"
    assert Redactor([]).redact(text).text == text


def test_equal_finds_share_a_placeholder_and_different_ones_do_not(redactor):
    redacted = redactor.redact("a@x.org, b@x.org, then a@x.org again")
    assert redacted.text == "<EMAIL_1>, <EMAIL_2>, then <EMAIL_1> again"
    assert redacted.found == {"<EMAIL_1>": "a@x.org", "<EMAIL_2>": "b@x.org"}


def test_placeholders_of_the_text_itself_stay(redactor):
    redacted = redactor.redact("<EMAIL_1> is what they sent me, not a@x.org")
    assert redacted.text == "<EMAIL_1> is what they sent me, not <EMAIL_2>"
    assert redacted.restore(redacted.text) == "<EMAIL_1> is what they sent me, not a@x.org"


def test_an_answer_to_the_redacted_text_is_restored(redactor):
    redacted = redactor.redact("a@x.org never answered")
    assert redacted.restore("<EMAIL_1> is silent; <EMAIL_2> is not") == "a@x.org is silent; <EMAIL_2> is not"


def test_what_was_found_is_not_in_the_representation(redactor):
    assert "a@x.org" not in repr(redactor.redact("a@x.org"))


PIECES = [*(text for text, _ in FOUND), *LEFT, "<EMAIL_1>", "<PHONE_12>", "<URL_", "_1>", "<", ">", "1", ".", "\n", "é"]


@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=80))
def test_any_text_comes_back(redactor, text):
    redacted = redactor.redact(text)
    assert redacted.restore(redacted.text) == text
    assert all(original not in redacted.text for original in redacted.found.values() if "@" in original)


def test_spans_that_overlap_become_one_of_the_kind_of_the_longest():
    spans = [Span(5, 9, "url"), Span(0, 8, "email"), Span(9, 12, "ip"), Span(9, 11, "phone")]
    assert join_overlaps(spans) == [Span(0, 9, "email"), Span(9, 12, "ip")]
    assert join_overlaps([Span(0, 3, "ip"), Span(2, 8, "phone")]) == [Span(0, 8, "phone")]


@pytest.mark.parametrize("piece", ["a.", "www.", "::", "a@", "A1"])
def test_a_long_run_of_one_pattern_hides_nothing_behind_it(redactor, piece):
    redacted = redactor.redact(piece * 3000 + " jo@example.org 10.0.0.1")
    assert redacted.text.endswith(" <EMAIL_1> <IP_1>") or redacted.text.endswith(" <EMAIL_2> <IP_1>")


def test_no_connection_is_tried(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a connection was tried")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(AssertionError, match="a connection was tried"):
        socket.create_connection(("127.0.0.1", 9))
    assert Redactor(PLAIN_KINDS).redact(" ".join(text for text, _ in FOUND)).found


@pytest.fixture
def names_pipeline(tmp_path):
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": "Ines Moreau"}, {"label": "CITY", "pattern": "Lisbon"}]
    )
    pipeline.to_disk(tmp_path / "names")
    return str(tmp_path / "names")


def test_names_are_found_by_the_pipeline_of_the_user_alone(names_pipeline):
    text = "Ines Moreau from Lisbon, ines@example.org"
    redacted = Redactor(["email", "name"], names_pipeline).redact(text)
    assert redacted.text == "<NAME_1> from Lisbon, <EMAIL_1>"
    assert redacted.restore(redacted.text) == text


def test_a_pipeline_that_is_missing_or_finds_no_names_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"annotate.names_model: 'no_such' is no spaCy pipeline"):
        Redactor(["name"], "no_such")
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ConfigError, match="finds no names"):
        Redactor(["name"], str(tmp_path / "blank"))


@pytest.mark.parametrize(("kinds", "model"), [(["name"], None), (["email"], "en_core_web_sm")])
def test_names_and_their_pipeline_go_together(kinds, model):
    with pytest.raises(ConfigError, match="go together"):
        Redactor(kinds, model)


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(ConfigError, match=r"annotate.redact: .*'mail'.*email"):
        Redactor(["mail"])


def test_without_presidio_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"sparsecbm\[redaction\]"):
        Redactor(["email"])
