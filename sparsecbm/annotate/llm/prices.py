"""What tokens cost."""

from dataclasses import dataclass

from sparsecbm.annotate.llm.endpoint import Endpoint
from sparsecbm.base.extras import require
from sparsecbm.base.params.annotate import Llm

_SAMPLE = 1000  # tokens; long prompts have a higher price at some providers, ours are short


@dataclass(frozen=True)
class Price:
    """US dollars for a token in and a token out."""

    token_in: float
    token_out: float

    def money(self, tokens_in: float, tokens_out: float) -> float:
        return tokens_in * self.token_in + tokens_out * self.token_out


def find_price(settings: Llm, endpoint: Endpoint) -> Price | None:
    """The price in the settings, or else that of the provider at this address; None if it is unknown.

    Prices of providers are those of the installed `genai-prices`; nothing is looked up in the network.
    """
    if settings.price_in is not None and settings.price_out is not None:
        return Price(settings.price_in / 1e6, settings.price_out / 1e6)
    require("genai_prices")
    from genai_prices import Usage, calc_price

    try:
        cost = calc_price(
            Usage(input_tokens=_SAMPLE, output_tokens=_SAMPLE), endpoint.model, provider_api_url=endpoint.url
        )
    except LookupError:
        return None
    return Price(float(cost.input_price) / _SAMPLE, float(cost.output_price) / _SAMPLE)
