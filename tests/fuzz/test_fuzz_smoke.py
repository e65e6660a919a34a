"""A few hundred cases for each target; `make fuzz` runs as many as there is time for."""

import secrets

import pytest

from tests.fuzz.__main__ import attempt
from tests.fuzz.harness import Target
from tests.fuzz.targets import targets

CASES = {"node": 60, "journal": 60}
DEFAULT = 250


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_no_input_makes_a_decoder_fail(target: Target) -> None:
    seed = secrets.randbits(32)
    for number in range(CASES.get(target.name, DEFAULT)):
        failure = attempt(target, seed, number)
        assert failure is None, failure


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_a_case_is_the_same_when_it_is_made_again(target: Target) -> None:
    from tests.fuzz.harness import case_random

    for number in range(5):
        one = target.make(case_random(1, target.name, number))
        other = target.make(case_random(1, target.name, number))
        assert one == other
