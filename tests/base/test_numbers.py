"""Numbers in files, and the models that round them."""

import doctest

import numpy as np
import pytest
from pydantic import ValidationError

import sparsecbm.base.flat
import sparsecbm.base.numbers
from sparsecbm.base.form import Form
from sparsecbm.base.numbers import Number, six_decimals


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.12345649, 0.123456),
        (0.1234565001, 0.123457),
        (np.float32(0.5), 0.5),
        (2, 2.0),
        (None, None),
        (float("nan"), None),
        (-np.inf, None),
    ],
)
def test_six_decimals_by_hand(value, expected):
    rounded = six_decimals(value)
    assert rounded == expected and type(rounded) in (float, type(None))


def test_a_model_rounds_its_numbers_and_rejects_unknown_keys():
    class Pair(Form):
        value: Number
        interval: list[Number]

    pair = Pair(value=1 / 3, interval=[np.nan, 2 / 3])
    assert pair.to_dict() == {"value": 0.333333, "interval": [None, 0.666667]}
    assert Pair.model_validate(pair.to_dict()) == pair
    with pytest.raises(ValidationError, match="extra"):
        Pair(value=1, interval=[], other=2)
    with pytest.raises(ValidationError, match="frozen"):
        pair.value = 2


def test_examples_in_docstrings_hold():
    for module in (sparsecbm.base.numbers, sparsecbm.base.flat):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0
