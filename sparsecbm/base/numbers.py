"""Numbers as files hold them: six decimals, and null where a number is not defined."""

import math
from typing import Annotated

from pydantic import BeforeValidator

DECIMALS = 6


def six_decimals(value: float | None) -> float | None:
    """The value rounded to six decimals; None for None, nan and infinity.

    >>> six_decimals(1 / 3), six_decimals(float("nan"))
    (0.333333, None)
    """
    return round(float(value), DECIMALS) if value is not None and math.isfinite(value) else None


# A field of a form that rounds what it is given.
Number = Annotated[float | None, BeforeValidator(six_decimals)]
