"""Ranges of bytes: what is asked for, what is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmcore.wire.http import Headers
from rtmcore.wire.ranges import (
    ByteRange,
    ContentRange,
    RangeNotSatisfiable,
    answered_range,
    content_range,
    range_from,
    requested_range,
)

HUGE = "9" * 5000


def asked(*values: str, total: int = 100) -> ByteRange | None:
    return requested_range([("range", value) for value in values], total)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=0-", (0, 99)),
        ("bytes=10-19", (10, 19)),
        ("bytes=99-", (99, 99)),
        ("bytes=10-1000", (10, 99)),
        (f"bytes=10-{HUGE}", (10, 99)),
        ("bytes=-1", (99, 99)),
        ("bytes=-100", (0, 99)),
        ("bytes=-1000", (0, 99)),
        (f"bytes=-{HUGE}", (0, 99)),
        ("bytes=000010-0000000000000000000000000000019", (10, 19)),
        ("BYTES=1-2", (1, 2)),
        ("bytes= 1-2 ,", (1, 2)),
    ],
)
def test_one_range(value: str, expected: tuple[int, int]) -> None:
    part = asked(value)
    assert part == ByteRange(*expected)
    assert part is not None
    assert part.size == expected[1] - expected[0] + 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=a-b",
        "bytes=5",
        "bytes=5-4",
        f"bytes={HUGE}9-{HUGE}",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=1-2-3",
        "bytes=1-2,4-5",
        "bytes=0-,-1",
        "bytes=\u0661-\u0662",
        "lines=1-2",
        "bytes 1-2",
        "bytes=0x1-2",
        "bytes=1_0-20",
        "bytes=1-2\n",
    ],
)
def test_what_is_answered_whole(value: str) -> None:
    assert asked(value) is None


def test_several_headers_are_several_ranges() -> None:
    assert asked("bytes=1-2", "bytes=3-4") is None
    assert asked() is None


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", f"bytes={HUGE}-", "bytes=-0"])
def test_what_is_not_there(value: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        asked(value)
    assert caught.value.headers == [("Content-Range", "bytes */100")]
    assert answered_range([("content-range", caught.value.headers[0][1])]) == ContentRange(None, 100)


def test_of_nothing_there_is_no_part() -> None:
    assert asked("bytes=-5", total=0) is None
    with pytest.raises(RangeNotSatisfiable):
        asked("bytes=0-", total=0)


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ([], True),
        (['"x"'], True),
        (['"y"'], False),
        (['W/"x"'], False),
        (["x"], False),
        (["Sat, 29 Oct 1994 19:43:31 GMT"], True),
        (["Sat, 29 Oct 1994 19:43:32 GMT"], False),
        (['"x"', '"x"'], False),
        ([""], False),
    ],
)
def test_a_condition(conditions: list[str], holds: bool) -> None:
    headers: Headers = [("range", "bytes=1-2"), *(("if-range", value) for value in conditions)]
    part = requested_range(headers, 100, etag='"x"', last_modified="Sat, 29 Oct 1994 19:43:31 GMT")
    assert part == (ByteRange(1, 2) if holds else None)


def test_a_condition_on_what_has_neither() -> None:
    for condition in ('"x"', "Sat, 29 Oct 1994 19:43:31 GMT"):
        assert requested_range([("range", "bytes=1-2"), ("if-range", condition)], 100) is None
    assert requested_range([("range", "bytes=1-2"), ("if-range", 'W/"x"')], 100, etag='W/"x"') is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 0-9/10", ContentRange(ByteRange(0, 9), 10)),
        ("Bytes 3-4/*", ContentRange(ByteRange(3, 4), None)),
        ("bytes */0", ContentRange(None, 0)),
        ("bytes */*", None),
        ("bytes 3-2/10", None),
        ("bytes 0-10/10", None),
        ("bytes=0-9/10", None),
        ("bytes 0-9", None),
        ("bytes -9/10", None),
        (f"bytes 0-{HUGE}/*", None),
        ("bytes 0-9/10\n", None),
        ("", None),
    ],
)
def test_what_an_answer_tells(value: str, expected: ContentRange | None) -> None:
    assert answered_range([("content-range", value)]) == expected


def test_an_answer_that_tells_it_twice_or_never() -> None:
    assert answered_range([("content-range", "bytes 0-9/10")] * 2) is None
    assert answered_range([]) is None


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 10**12))
def test_what_is_built_is_understood(one: int, other: int, total: int) -> None:
    first, last = sorted((one % total, other % total))
    name, value = range_from(first, last)
    part = requested_range([(name.lower(), value)], total)
    assert part == ByteRange(first, last)
    assert part is not None
    name, value = content_range(part, total)
    assert answered_range([(name.lower(), value)]) == ContentRange(part, total)
    name, value = range_from(first)
    assert requested_range([(name.lower(), value)], total) == ByteRange(first, total - 1)


@given(st.text(max_size=30), st.integers(0, 100))
def test_nothing_breaks_it(value: str, total: int) -> None:
    for text in (value, f"bytes={value}", f"bytes {value}"):
        answered_range([("content-range", text)])
        try:
            part = requested_range([("range", text)], total)
        except RangeNotSatisfiable:
            continue
        assert part is None or 0 <= part.first <= part.last < total
