"""What a run would take, before it starts: texts, requests, tokens, money and minutes."""

from dataclasses import dataclass

from sparsecbm.annotate.llm.cache import AnswerCache
from sparsecbm.annotate.llm.plan import Plan
from sparsecbm.annotate.llm.prices import Price
from sparsecbm.annotate.llm.question import Question
from sparsecbm.annotate.llm.tokens import BYTES_PER_TOKEN, TokenEstimator
from sparsecbm.annotate.llm.wire import Wire

SAMPLE = 32  # requests whose tokens the server counts
PILOT = 8  # requests that a pilot sends
UNCOUNTED = f"{BYTES_PER_TOKEN} bytes a token, since nothing was counted yet; it may be a third too low or too high"


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        texts: texts that lack an answer
        requests: requests for them, one for each vote; answers that must be asked for again come on top
        cached: requests that are not needed, since their answers are kept
        tokens_in, tokens_out: tokens of these requests and of their answers
        money: US dollars; None where the price is unknown
        minutes: None where neither an earlier request nor a limit says how long one takes
        basis: what the tokens are estimated from, in words
    """

    texts: int
    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    money: float | None
    minutes: float | None
    basis: str

    def lines(self) -> list[str]:
        """The estimate in sentences."""
        money = "an unknown price" if self.money is None else f"{self.money:.2f} US dollars"
        minutes = "an unknown time" if self.minutes is None else f"{self.minutes:.1f} min"
        return [
            f"{self.requests:,} requests for {self.texts:,} texts ({self.cached:,} answers are kept from earlier runs)",
            f"{self.tokens_in:,} tokens to the model and {self.tokens_out:,} from it, by {self.basis}",
            f"{money}, {minutes}; repeated requests come on top",
        ]


def estimate_run(
    plan: Plan, cache: AnswerCache, wire: Wire, tokens: TokenEstimator, price: Price | None, basis: str
) -> Estimate:
    """Add up what all questions of a plan would take."""
    requests = size = 0
    keys: set[str] = set()
    for question in plan.questions(cache):
        requests += 1
        size += wire.request(question).size
        keys.add(question.key)
    tokens_in = tokens.tokens_in(size) if requests else 0
    tokens_out = round(tokens.tokens_out * requests)
    askable = int((plan.texts["text"].str.strip() != "").sum()) * plan.settings.votes
    return Estimate(
        texts=len(keys),
        requests=requests,
        cached=askable - requests,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        money=None if price is None else price.money(tokens_in, tokens_out),
        minutes=_minutes(plan, requests, tokens_in + tokens_out, tokens.seconds),
        basis=basis,
    )


def sample_questions(plan: Plan, cache: AnswerCache, number: int) -> list[Question]:
    """So many questions of a plan, at equal distances."""
    total = sum(1 for _ in plan.questions(cache))
    wanted = {index * total // number for index in range(number)} if total > number else set(range(total))
    return [question for index, question in enumerate(plan.questions(cache)) if index in wanted]


def _minutes(plan: Plan, requests: int, tokens: int, seconds: float | None) -> float | None:
    """Minutes by the slowest of: the endpoint's answers, the limit of requests, the limit of tokens."""
    settings = plan.settings
    bounds = [
        None if seconds is None else requests * seconds / min(settings.concurrency, max(requests, 1)) / 60,
        None if settings.requests_per_minute is None else requests / settings.requests_per_minute,
        None if settings.tokens_per_minute is None else tokens / settings.tokens_per_minute,
    ]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if known else None
