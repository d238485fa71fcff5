"""What annotation must give before training."""

import pytest

from sparsecbm.annotate.variation import require_states
from sparsecbm.base.errors import DataError
from tests.support.small_tables import CONCEPTS, good_rows


def test_a_concept_needs_two_states_among_the_training_rows():
    frame = good_rows(6)
    require_states(frame, CONCEPTS)
    frame["concept.food"] = None
    frame["concept.price"] = "low"
    frame.loc[0, "concept.price"] = None
    with pytest.raises(DataError) as error:
        require_states(frame, CONCEPTS)
    first, second, other_way = str(error.value).splitlines()
    assert first.startswith(
        "concept 'food': 0 of 6 training rows have a state; it needs two. `sparsecbm annotate review"
    )
    assert "concept 'price': 5 of 6 training rows have a state, all of them 'low'; it needs two" in second
    assert "model.mode=standard" in other_way
