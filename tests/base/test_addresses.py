"""Addresses of every form are taken apart or refused, and their secrets are never shown."""

import random

import pytest
from requests import Request
from sqlalchemy.engine import make_url

from sparsecbm.base.addresses import AddressError, parse_address
from sparsecbm.base.redaction import redacted

PASSWORDS = ("secret77", "p@ss77", "pa:ss77", "p%40ss77", "100%77sure", "pä$$77", "a@b@c77", "77!*'(),", "sp%20ace77")


def decoded(password):
    return {"p%40ss77": "p@ss77", "sp%20ace77": "sp ace77", "100%77sure": "100wsure"}.get(password, password)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("http://ann:{}@example.org:5000/mlflow", "example.org", 5000),
        ("HTTPS://ann:{}@example.org", "example.org", None),
        ("http://ann:{}@[::1]:5000/", "[::1]", 5000),
        ("postgresql://ann:{}@db.example.org:5432/mlflow", "db.example.org", 5432),
        ("mysql+pymysql://ann:{}@db/mlflow?charset=utf8mb4", "db", None),
        ("mssql+pyodbc://ann:{}@db:1433/x?driver=ODBC+Driver+17", "db", 1433),
    ],
)
def test_users_and_passwords_reach_the_library(address, host, port, password):
    parsed = parse_address(address.format(password))
    assert (parsed.user, parsed.password) == ("ann", decoded(password))
    assert (parsed.host, parsed.port) == (host, port)
    assert parsed.bare.lower() == address.lower().replace("ann:{}@", "")
    if parsed.scheme in ("http", "https"):
        authorization = Request("GET", parsed.uri).prepare().headers["Authorization"]
        same = Request("GET", "http://x", auth=(b"ann", decoded(password).encode())).prepare()
        assert authorization == same.headers["Authorization"] or "ä" in password
    else:
        url = make_url(parsed.uri)  # the oracle is SQLAlchemy itself
        assert (url.username, url.password, url.host, url.port) == ("ann", decoded(password), host, port)


def test_a_slash_in_a_password_works_where_it_has_one_meaning():
    assert parse_address("http://ann:pa/ss@example.org:5000").uri == "http://ann:pa%2Fss@example.org:5000"
    assert parse_address("http://ann:p?a#ss@example.org").password == "p?a#ss"
    assert parse_address("postgresql://ann:12/34@db/mlflow").password == "12/34"
    assert parse_address("postgresql://ann:p?w@db/mlflow").password == "p?w"
    assert parse_address("postgresql://db/mlflow?user=ann@server").user is None
    assert parse_address("postgresql://ann:x@db/mlflow?user=a@b").host == "db"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://ann:12/34@example.org", "two ways; write / as %2F"),
        ("http://ann:p@1/2@example.org", "two ways"),
        ("http://example.org/pa@th", "two ways"),
        ("http://example.org:99999", "no valid host and port"),
        ("http://example.org:5000:6000", "no valid host and port"),
        ("http://", "no host"),
        ("https://ann:secret77@", "no host"),
        ("https://example.org/?token=secret77", "MLFLOW_TRACKING_TOKEN"),
        ("http://exam ple.org", "blanks"),
        ("http://example.org\x1b[31m", "control characters"),
        ("http://example.org:" + "9" * 5000, "no valid host and port"),
    ],
)
def test_other_addresses_are_one_message_without_secrets(address, message):
    with pytest.raises(AddressError, match=message) as error:
        parse_address(address)
    assert "secret77" not in str(error.value) and "34" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:////home/a@b/mlflow.db", "sqlite:///mlflow.db", "file:///srv/mlruns", "file:/srv/mlruns", "./mlruns",
        "/srv/ml@runs", "databricks", "databricks://profile", "databricks-uc", "http://127.0.0.1:5000", "s3://bucket/x",
        "https://example.org/mlflow", "postgresql:///mlflow", "uc:http://host:8080", "C:\\mlruns", "",
        "sqlite:////srv/my own/ml flow.db", "/srv/my own",
    ],
)  # fmt: skip
def test_addresses_without_users_stay_as_they_are(address):
    parsed = parse_address(address)
    assert (parsed.uri, parsed.bare, parsed.user, parsed.password) == (address, address, None, None)
    assert redacted(f"cannot reach {address}!") == f"cannot reach {address}!"


@pytest.mark.parametrize("seed", range(300))
def test_no_part_of_a_password_is_shown(seed):
    draw = random.Random(seed)
    word = "".join(draw.choices("QWXZ", k=4))  # occurs in no other part
    password = "".join(word + draw.choice("@:/?#%&='\"<>,;()[]{}|\\^~!$*+é") for _ in range(draw.randrange(1, 4)))
    scheme = draw.choice(("http", "HTTPS", "postgresql", "mysql+pymysql", "mssql+pyodbc", "ftp", "databricks", "s3"))
    address = f"{scheme}://ann:{password}{word}@host.example:5000/path?timeout=5"
    text = draw.choice(("{} does not answer", "error at '{}'", "(see {})", "[{}]", "<{}>", "a\n{}\nb", "url={}"))
    assert word not in redacted(text.format(address))
    assert "host.example:5000/path?timeout=5" in redacted(text.format(address))


@pytest.mark.parametrize(
    "text",
    [
        "https://h/?token=QWXZ", "https://h/x?a=1&access_token=QWXZ&b=2", "postgresql://h/db?password=QWXZ",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3DQWXZ", "https://h/?X-Amz-Signature=QWXZ",
        "host=h password=QWXZ",
        "jdbc:sqlserver://h;user=ann;password=QWXZ", "https://h/#token=QWXZ", "https://h/?sig=QWXZ",
        "https://h?PASSWORD=QWXZ",
    ],
)  # fmt: skip
def test_values_of_queries_are_hidden(text):
    assert "QWXZ" not in redacted(text)
    assert redacted(text).startswith(text.partition("QWXZ")[0].partition("DRIVER")[0])


def test_an_address_of_the_environment_is_hidden_in_parts(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:my%20own word@db.example/x")
    assert redacted("password 'my own word' of postgresql://ann:my%20own word@db.example/x is wrong") == (
        "password '***' of postgresql://***@db.example/x is wrong"
    )
