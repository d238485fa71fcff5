"""What may be spent, what was spent, and whether one more request fits."""

from sparsecbm.annotate.llm.cache import Cost, Spending
from sparsecbm.annotate.llm.prices import Price
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params.annotate import Llm


class Budget:
    """Counts tokens and money of this and of earlier runs in the workspace.

    A request on its way counts with its estimate, so at most the error of these estimates is spent beyond the budget.

    Raises:
        ConfigError: there is a budget in money, and no price.
    """

    def __init__(self, settings: Llm, price: Price | None, spent: Spending) -> None:
        if settings.max_money is not None and price is None:
            raise ConfigError(
                "annotate.llm.max_money is set, but the price of this model is unknown; set annotate.llm.price_in and "
                "annotate.llm.price_out (US dollars for a million tokens), or annotate.llm.max_tokens instead"
            )
        self._settings, self.price = settings, price
        self.tokens, self.money = spent.tokens, spent.money
        self._pending_tokens = self._pending_money = 0.0

    def allows(self, tokens_in: float, tokens_out: float) -> bool:
        """Whether a request of about so many tokens still fits."""
        settings = self._settings
        tokens = self.tokens + self._pending_tokens + tokens_in + tokens_out
        money = self.money + self._pending_money + (self._money(tokens_in, tokens_out) or 0.0)
        return (settings.max_tokens is None or tokens <= settings.max_tokens) and (
            settings.max_money is None or money <= settings.max_money
        )

    def reserve(self, tokens_in: float, tokens_out: float) -> None:
        """Count a request that goes out."""
        self._pending_tokens += tokens_in + tokens_out
        self._pending_money += self._money(tokens_in, tokens_out) or 0.0

    def release(self, tokens_in: float, tokens_out: float) -> None:
        """Count a request no longer as pending; the arguments are those of `reserve`."""
        self._pending_tokens -= tokens_in + tokens_out
        self._pending_money -= self._money(tokens_in, tokens_out) or 0.0

    def spend(self, cost: Cost) -> None:
        """Count what a request took."""
        self.tokens += cost.tokens_in + cost.tokens_out
        self.money += cost.money or 0.0

    def describe(self) -> str:
        """What is spent, such as "12,000 tokens, $0.03"."""
        money = f", ${self.money:.2f}" if self.price is not None else ""
        return f"{self.tokens:,} tokens{money}"

    def describe_remainder(self) -> str:
        """What is spent and what is left, in a sentence."""
        left = []
        if self._settings.max_tokens is not None:
            left.append(f"{max(self._settings.max_tokens - self.tokens, 0):,} tokens")
        if self._settings.max_money is not None:
            left.append(f"${max(self._settings.max_money - self.money, 0.0):.2f}")
        rest = f"{' and '.join(left)} of the budget remain ({self.limits()})" if left else "no budget is set"
        return f"earlier runs in this workspace took {self.describe()}; {rest}"

    def limits(self) -> str:
        """The limits, such as "annotate.llm.max_tokens: 1,000,000"."""
        parts = []
        if self._settings.max_tokens is not None:
            parts.append(f"annotate.llm.max_tokens: {self._settings.max_tokens:,}")
        if self._settings.max_money is not None:
            parts.append(f"annotate.llm.max_money: ${self._settings.max_money:g}")
        return ", ".join(parts)

    def _money(self, tokens_in: float, tokens_out: float) -> float | None:
        return None if self.price is None else self.price.money(tokens_in, tokens_out)
