import json

import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason
from rtmcore.errors import ERROR_FAMILIES, error_class
from rtmsync.cli.errors import meanings
from tests.cli.conftest import Rtm


def test_every_documented_code_is_there_once() -> None:
    expected = {
        (family.__name__, member.name, int(member))
        for family in (*ERROR_FAMILIES, ConnectionChangeReason, CloseCode)
        for member in family
    }
    found = [(meaning.family, meaning.name, meaning.number) for meaning in meanings()]
    assert set(found) == expected
    assert len(found) == len(expected)


def test_every_error_says_what_it_is_raised_as_and_what_to_do() -> None:
    families = {family.__name__: family for family in ERROR_FAMILIES}
    for meaning in meanings():
        assert meaning.advice.endswith((".", ":")), meaning
        assert meaning.about.endswith("."), meaning
        assert "seed" not in meaning.about + meaning.advice, meaning
        if meaning.error is not None:
            member = families[meaning.family][meaning.name]
            assert meaning.error == error_class(member).__name__


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


def test_the_list_is_tab_separated_where_nobody_looks(rtm: Rtm) -> None:
    lines = rtm("errors").out.splitlines()
    assert "5\tLoginError.INVALID_TOKEN\tInvalidToken" in lines
    assert len(lines) == len(list(meanings()))


def test_json(rtm: Rtm) -> None:
    rows = [json.loads(line) for line in rtm("errors", "LoginError.TIMEOUT", "--json").out.splitlines()]
    assert [(row["number"], row["family"], row["error"]) for row in rows] == [
        (9, "LoginError", "RequestTimeout")
    ]
