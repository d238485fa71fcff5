"""The estimate of a dry run against what the run then takes."""

import pytest

from sparsecbm.base.errors import ConfigError
from tests.support.llm_annotation import CONCEPTS, NOBODY, known_texts, make_annotator, text_table
from tests.support.openai_server import Script, count_tokens, scripted_server

TEXTS = text_table(
    [
        f"Review {n}: {'The dish that we had was superb. ' * (n % 7)} food good, noise {['no', 'yes'][n % 2]}."
        for n in range(60)
    ]
)


def asked(script: Script) -> list[dict]:
    """The bodies of requests that a model answered."""
    return [entry["body"] for entry in script.log if entry["path"] == "/v1/chat/completions"]


def paid(script: Script, requests: list[dict]) -> tuple[int, int]:
    """Tokens in and out that the server counted for these requests."""
    tokens_in = sum(4 + count_tokens(turn["content"]) for body in requests for turn in body["messages"])
    return tokens_in, 17 * len(requests)


@pytest.mark.parametrize("count", ["estimate", "tokenize", "pilot"])
def test_the_estimate_is_within_a_tenth_of_what_the_server_counts(tmp_path, count):
    script = Script()
    with scripted_server(script) as url:
        annotator = make_annotator(url, tmp_path, price_in=2.0, price_out=10.0)
        if count == "estimate":  # it learns from an earlier run on other texts
            annotator.annotate(known_texts(8), CONCEPTS, NOBODY)
        before = len(asked(script))
        estimate = annotator.dry_run(TEXTS, CONCEPTS, NOBODY, count)
        sent = len(asked(script)) - before
        assert sent == {"estimate": 0, "tokenize": 0, "pilot": 8}[count]
        annotator.annotate(TEXTS, CONCEPTS, NOBODY)
    tokens_in, tokens_out = paid(script, asked(script)[before + sent :])
    assert (estimate.texts, estimate.requests, estimate.cached) == (60 - sent, 60 - sent, sent)
    assert estimate.tokens_in == pytest.approx(tokens_in, rel=0.1)
    assert estimate.tokens_out == pytest.approx(tokens_out, rel=0.1)
    assert estimate.money == pytest.approx((2 * estimate.tokens_in + 10 * estimate.tokens_out) / 1e6)
    assert (estimate.minutes is None) == (count == "tokenize")


def test_without_any_count_it_says_that_it_may_be_wrong_and_sends_nothing(tmp_path):
    annotator = make_annotator("http://127.0.0.1:9/v1", tmp_path, votes=3, requests_per_minute=90)
    estimate = annotator.dry_run(TEXTS, CONCEPTS, NOBODY)
    assert "nothing was counted yet" in estimate.basis and estimate.money is None
    assert estimate.requests == 180 and estimate.minutes == pytest.approx(2)


def test_an_estimate_in_sentences(tmp_path):
    annotator = make_annotator("http://127.0.0.1:9/v1", tmp_path, price_in=1.0, price_out=1.0, requests_per_minute=7)
    requests, tokens, price, _ = annotator.estimate(TEXTS, CONCEPTS, NOBODY)
    assert requests == "60 requests for 60 texts (0 answers are kept from earlier runs)"
    assert "by 4.2 bytes a token, since nothing was counted yet" in tokens
    assert price == "0.01 US dollars, 8.6 min; repeated requests come on top"


def test_nothing_to_do_takes_nothing(tmp_path):
    with scripted_server(Script()) as url:
        annotator = make_annotator(url, tmp_path)
        annotator.annotate(known_texts(3), CONCEPTS, NOBODY)
        estimate = annotator.dry_run(known_texts(3), CONCEPTS, NOBODY, "pilot")
    assert (estimate.texts, estimate.requests, estimate.cached, estimate.tokens_in) == (0, 0, 3, 0)


def test_a_server_that_counts_no_tokens_is_named(tmp_path):
    with scripted_server(Script(tokenize=False)) as url, pytest.raises(ConfigError, match="does not count tokens"):
        make_annotator(url, tmp_path).dry_run(TEXTS, CONCEPTS, NOBODY, "tokenize")


def test_an_estimate_ends_with_what_is_left_of_the_budget(tmp_path):
    texts = known_texts(4)
    with scripted_server(Script()) as url:
        annotator = make_annotator(url, tmp_path, max_tokens=100_000, max_money=2.0, price_in=1000, price_out=1000)
        assert annotator.estimate(texts, CONCEPTS, NOBODY)[-1] == (
            "earlier runs in this workspace took 0 tokens, $0.00; 100,000 tokens and $2.00 of the budget remain "
            "(annotate.llm.max_tokens: 100,000, annotate.llm.max_money: $2)"
        )
        annotator.annotate(texts.head(1), CONCEPTS, NOBODY)
        with annotator.exclusive_cache() as cache:
            tokens = cache.spending().tokens
        # A thousand dollars for a million tokens: a tenth of a cent for each.
        assert annotator.estimate(texts, CONCEPTS, NOBODY)[-1].startswith(
            f"earlier runs in this workspace took {tokens:,} tokens, ${tokens / 1000:.2f}; {100_000 - tokens:,} tokens "
            f"and ${2 - tokens / 1000:.2f} of the budget remain"
        )
        free = make_annotator(url, tmp_path)
        assert free.estimate(texts, CONCEPTS, NOBODY)[-1].endswith("no budget is set")
