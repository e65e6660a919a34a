"""Every documented code is produced by a test, or may be without one for a reason that the documents give."""

from enum import IntEnum

import pytest

from tests.codes.registry import EXCUSED, FAMILIES, PERMITTED, name_of, producers

CODES = [member for family in FAMILIES for member in family]
NAMES = {name_of(member) for member in CODES}


@pytest.mark.parametrize("code", CODES, ids=name_of)
def test_a_code_has_a_test_or_may_be_without(code: IntEnum) -> None:
    name = name_of(code)
    assert name in producers() or name in EXCUSED


@pytest.mark.parametrize("code", EXCUSED)
def test_an_excuse_is_a_permitted_one_and_needed(code: str) -> None:
    kind, _, where = EXCUSED[code].partition(": ")
    assert code in NAMES
    assert kind in PERMITTED
    assert where
    assert code not in producers()
