import json
import re

import pytest

from rtmcore import limits
from rtmcore.codes import CloseCode, ConnectionChangeReason, RtcConnectionChangeReason
from rtmcore.errors import ERROR_FAMILIES, error_class
from rtmcore.explanations.lookup import FAMILIES
from rtmsync.cli.errors import meanings
from tests.cli.conftest import Rtm


def test_every_documented_code_is_there_once() -> None:
    expected = {(family.__name__, member.name, int(member)) for family in FAMILIES for member in family}
    found = [(meaning.family, meaning.name, meaning.number) for meaning in meanings()]
    assert set(found) == expected
    assert len(found) == len(expected)
    assert {*ERROR_FAMILIES, ConnectionChangeReason, RtcConnectionChangeReason, CloseCode} <= set(FAMILIES)


def test_an_error_names_the_class_that_it_is_raised_as() -> None:
    families = {family.__name__: family for family in ERROR_FAMILIES}
    for meaning in meanings():
        if meaning.error is not None:
            member = families[meaning.family][meaning.name]
            assert meaning.error == error_class(member).__name__


def test_every_code_has_its_three_parts_in_whole_sentences() -> None:
    for meaning in meanings():
        for text in (meaning.about, meaning.means, meaning.why, meaning.advice):
            assert text.endswith((".", "?")), meaning
            assert "`" not in text, meaning
            assert "seed" not in text, meaning
            assert "  " not in text, meaning
            assert " 1 times" not in text, meaning
        assert len({meaning.means, meaning.why, meaning.advice}) == 3, meaning


def test_no_two_codes_of_a_family_say_the_same() -> None:
    for family in FAMILIES:
        said = [meaning.means + meaning.why for meaning in meanings() if meaning.family == family.__name__]
        assert len(set(said)) == len(said), family


def test_an_error_in_the_terminal_has_three_parts(rtm: Rtm) -> None:
    lines = rtm("errors", "JoinChannelError.EXCEED_LIMIT").out.splitlines()
    assert lines[0] == "5 JoinChannelError.EXCEED_LIMIT -> LimitExceeded"
    assert [line.split(":")[0].strip() for line in lines[2:]] == [
        "What it means",
        "Why it happens",
        "What to do",
    ]
    assert f"{limits.CHANNELS_JOINED} channels" in lines[3]


def test_a_number_has_all_its_meanings(rtm: Rtm) -> None:
    outcome = rtm("errors", "3")
    assert outcome.status == 0
    for name in (
        "SendPeerMessageError.PEER_UNREACHABLE -> PeerUnreachable",
        "JoinChannelError.INVALID_ARGUMENT -> InvalidArgument",
        "GetMembersError.TIMEOUT -> RequestTimeout",
    ):
        assert f"3 {name}\n" in outcome.out


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("LoginError.TOO_OFTEN", "10 LoginError.TOO_OFTEN"),
        ("loginerror.too_often", "10 LoginError.TOO_OFTEN"),
        ("CACHED_BY_SERVER", "4 SendPeerMessageError.CACHED_BY_SERVER"),
        ("SENT_TIMEOUT", "2 SendPeerMessageError.TIMEOUT, also SENT_TIMEOUT"),
        ("ratelimited", "8 JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN"),
        ("4500", "4500 CloseCode.REMOTE_LOGIN"),
        ("4500.", "4500 CloseCode.REMOTE_LOGIN"),
        ("SAME_UID_LOGIN", "19 RtcConnectionChangeReason.SAME_UID_LOGIN"),
        ("CloseCode", "4004 CloseCode.SLOW_CONSUMER"),
        ("LeaveChannelError", "3 LeaveChannelError.NOT_IN_CHANNEL"),
    ],
)
def test_codes_are_found_by_any_of_their_names(rtm: Rtm, word: str, name: str) -> None:
    assert name in rtm("errors", word).out


def test_close_codes_say_who_comes_back(rtm: Rtm) -> None:
    assert "comes back by itself" in rtm("errors", "4002").out
    assert "stays away" in rtm("errors", "4501").out


def test_a_word_that_is_no_code_fails(rtm: Rtm) -> None:
    outcome = rtm("errors", "bananas")
    assert outcome.status == 1
    assert outcome.out == ""
    assert "bananas" in outcome.err


@pytest.mark.parametrize(
    ("word", "meant"),
    [("TOO_OFTN", "TOO_OFTEN"), ("expired", "TOKEN_EXPIRED"), ("4505", "4504"), ("RateLimit", "RateLimited")],
)
def test_a_word_that_is_nearly_one_is_told_which(rtm: Rtm, word: str, meant: str) -> None:
    outcome = rtm("errors", word)
    assert outcome.status == 1
    assert re.search(rf"Perhaps .*\b{meant}\b.*\?", outcome.err)


def test_the_list_is_tab_separated_where_nobody_looks(rtm: Rtm) -> None:
    lines = rtm("errors").out.splitlines()
    assert "5\tLoginError.INVALID_TOKEN\tInvalidToken" in lines
    assert len(lines) == len(list(meanings()))


def test_json(rtm: Rtm) -> None:
    rows = [json.loads(line) for line in rtm("errors", "LoginError.TIMEOUT", "--json").out.splitlines()]
    assert [(row["number"], row["family"], row["error"]) for row in rows] == [
        (9, "LoginError", "RequestTimeout")
    ]
