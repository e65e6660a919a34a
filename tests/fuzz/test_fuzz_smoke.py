"""A few hundred cases for each target, the same each time; `make fuzz` runs others, as many as there is time for."""

import pytest

from tests.fuzz.__main__ import attempt
from tests.fuzz.harness import Target
from tests.fuzz.targets import targets

CASES = {"node": 60, "journal": 60}
DEFAULT = 250
SEED = 4167331746


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_no_input_makes_a_decoder_fail(target: Target) -> None:
    for number in range(CASES.get(target.name, DEFAULT)):
        failure = attempt(target, SEED, number)
        assert failure is None, failure


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_a_case_is_the_same_when_it_is_made_again(target: Target) -> None:
    from tests.fuzz.harness import case_random

    for number in range(5):
        one = target.make(case_random(1, target.name, number))
        other = target.make(case_random(1, target.name, number))
        assert one == other
