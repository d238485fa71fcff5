"""Messages contain no secrets."""

import doctest

import pytest

import sparsecbm.base.redaction
from sparsecbm.base.redaction import redacted
from sparsecbm.track.store import TrackingUnavailableError, open_store


def test_passwords_in_addresses_and_variables_named_like_secrets_are_hidden(monkeypatch):
    assert doctest.testmod(sparsecbm.base.redaction).failed == 0
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh")
    monkeypatch.setenv("SHORT_TOKEN", "ab")
    monkeypatch.setenv("HOME_SWEET_HOME", "abcdef")
    assert redacted("abcdefgh about abcdef") == "*** about abcdef"
    assert (
        redacted("mail ann@example.org at http://example.org/a@b") == "mail ann@example.org at http://example.org/a@b"
    )


def test_no_message_contains_the_password_of_a_tracking_server(tiny_workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:hunter22@127.0.0.1:9")
    with pytest.raises(TrackingUnavailableError) as fault:
        open_store(tiny_workspace, "x")
    assert "hunter22" not in str(fault.value)
    assert "http://***@127.0.0.1:9 does not answer" in str(fault.value)
