"""The table and the picture of a timeline: their structure, and that no name can break out of them."""

import random
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from rtmcore.client.events import (
    MemberJoined,
    MemberLeft,
    OpenTransport,
    PresenceChanged,
    Purpose,
    StateChanged,
    TokenHasExpired,
)
from rtmcore.codes import ConnectionChangeReason, ConnectionState, PeerOnlineState
from rtmsync.timeline.recorder import Timeline, merged_svg, merged_table
from rtmsync.timeline.spans import duration, moment, offset

S, R = ConnectionState, ConnectionChangeReason
START, WALL = 77.0, 1_800_000_000.0
NAMESPACE = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '"><script>alert(1)</script>',
    "]]>&lt;!--",
    "\x1b[2J\x00\x07",
    "\ud800",
    "\u202eevil\u2028",
    "&#x41;&bob;",
    "'" * 64,
]


def note(timeline: Timeline, at: float, event: object) -> None:
    timeline.note(event, START + at, WALL + at)


def alice_and_bob() -> tuple[Timeline, Timeline]:
    alice, bob = Timeline("alice"), Timeline("bob")
    note(alice, 0, StateChanged(S.CONNECTING, R.LOGIN, S.DISCONNECTED))
    note(alice, 0.1, StateChanged(S.CONNECTED, R.LOGIN_SUCCESS, S.CONNECTING))
    note(bob, 0.2, StateChanged(S.CONNECTED, R.LOGIN_SUCCESS, S.CONNECTING))
    note(bob, 0.3, PresenceChanged({"alice": PeerOnlineState.ONLINE}))
    note(alice, 14, StateChanged(S.RECONNECTING, R.INTERRUPTED, S.CONNECTED))
    for n in range(3):
        note(alice, 14 + n, OpenTransport(n, Purpose.RECONNECT, "ws://host/rtm/v1", "host", 80, False))
    note(bob, 16, PresenceChanged({"alice": PeerOnlineState.UNREACHABLE}))
    note(bob, 40, PresenceChanged({"alice": PeerOnlineState.OFFLINE}))
    note(bob, 40, MemberLeft("ops", "alice", 1))
    note(alice, 60, StateChanged(S.CONNECTED, R.LOGIN_SUCCESS, S.RECONNECTING))
    note(bob, 60, MemberJoined("ops", "alice", 2))
    return alice, bob


def texts(picture: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(picture).iter(f"{NAMESPACE}text")]


def bars(picture: str) -> list[tuple[str, float, float, str]]:
    """Kind, left edge, right edge and title of each bar."""
    found = []
    for one in ET.fromstring(picture).iter(f"{NAMESPACE}rect"):
        if one.get("class", "").startswith("bar"):
            left = float(one.get("x", ""))
            (title,) = one
            found.append((one.get("class", ""), left, left + float(one.get("width", "")), title.text or ""))
    return found


# --- The table --------------------------------------------------------------------------------------------------


def test_a_table_of_one_client() -> None:
    alice, _ = alice_and_bob()
    assert alice.table() == (
        "alice began at 2027-01-15 08:00:00.000 UTC.\n"
        "\n"
        "state            reason                              began          lasted\n"
        "CONNECTING       LOGIN 1                             +0.00 s        0.10 s\n"
        "CONNECTED        LOGIN_SUCCESS 2                     +0.10 s        13.90 s\n"
        "RECONNECTING     INTERRUPTED 5                       +14.00 s       46.00 s\n"
        "· OpenTransport  reconnect, 3 in all until +16.00 s  +14.00 s\n"
        "CONNECTED        LOGIN_SUCCESS 2                     +1 min 00.0 s  0.00 s so far\n"
    )


def test_a_table_of_two_clients_says_who() -> None:
    lines = merged_table(alice_and_bob()).splitlines()
    assert lines[0] == "Began at 2027-01-15 08:00:00.000 UTC."
    assert re.split(r"  +", lines[2]) == ["who", "state", "reason", "began", "lasted"]
    assert [re.split(r"  +", line)[:2] for line in lines[3:]] == [
        ["alice", "CONNECTING"],
        ["alice", "CONNECTED"],
        ["bob", "CONNECTED"],
        ["bob sees alice", "ONLINE"],
        ["alice", "RECONNECTING"],
        ["alice", "· OpenTransport"],
        ["bob sees alice", "UNREACHABLE"],
        ["bob sees alice", "OFFLINE"],
        ["bob", "· MemberLeft"],
        ["alice", "CONNECTED"],
        ["bob", "· MemberJoined"],
    ]


def test_columns_are_aligned_for_wide_letters() -> None:
    timeline = Timeline("漢字")
    note(timeline, 0, PresenceChanged({"漢": PeerOnlineState.ONLINE, "ab": PeerOnlineState.ONLINE}))
    wide, narrow = timeline.table().splitlines()[3:]
    assert wide.index("ONLINE") + 1 == narrow.index("ONLINE")


# --- The picture ------------------------------------------------------------------------------------------------


def test_a_picture_has_a_lane_for_each_participant() -> None:
    shown = texts(merged_svg(alice_and_bob(), title="Away for 46 s"))
    assert shown[0] == "Away for 46 s"
    lanes = [
        (one.text or "")
        for one in ET.fromstring(merged_svg(alice_and_bob())).iter(f"{NAMESPACE}text")
        if one.get("class") == "lane"
    ]
    assert lanes == ["alice", "bob", "bob sees alice"]


def test_bars_have_colours_and_follow_each_other() -> None:
    alice, _ = alice_and_bob()
    drawn = bars(alice.svg())
    assert [kind for kind, *_ in drawn] == ["bar busy", "bar good", "bar weak", "bar good"]
    for (_, _, end, _), (_, start, _, _) in pairwise(drawn):
        assert abs(end - start) < 0.2
    assert drawn[2][3] == "alice: RECONNECTING, INTERRUPTED 5, at +14.00 s for 46.00 s"


def test_reasons_and_durations_are_written_into_the_picture() -> None:
    alice, _ = alice_and_bob()
    shown = texts(alice.svg())
    assert "RECONNECTING" in shown
    assert "INTERRUPTED 5 · 46.00 s" in shown
    assert "+14.00 s" in shown


def test_what_does_not_fit_is_explained_below() -> None:
    shown = texts(alice_and_bob()[0].svg())
    assert any(line.endswith("alice: CONNECTING, LOGIN 1, at +0.00 s for 0.10 s") for line in shown)


def test_a_second_can_be_seen_beside_twenty_minutes() -> None:
    timeline = Timeline("alice")
    note(timeline, 0, StateChanged(S.CONNECTING, R.LOGIN, S.DISCONNECTED))
    note(timeline, 1, StateChanged(S.CONNECTED, R.LOGIN_SUCCESS, S.CONNECTING))
    note(timeline, 1201, StateChanged(S.DISCONNECTED, R.LOGOUT, S.CONNECTED))
    (_, left, right, _), *_ = bars(timeline.svg())
    assert right - left > 50


def test_a_picture_is_for_light_and_dark() -> None:
    picture = alice_and_bob()[0].svg()
    assert "prefers-color-scheme: dark" in picture
    assert 'class="paper"' in picture


def test_a_picture_refers_to_nothing_outside() -> None:
    picture = merged_svg(alice_and_bob())
    assert set(re.findall(r"https?://[^\"]*", picture)) == {"http://www.w3.org/2000/svg"}
    assert "href" not in picture
    assert "script" not in picture


def test_an_empty_timeline_has_a_picture() -> None:
    assert "Nothing has happened yet." in texts(Timeline("alice").svg())


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_breaks_out(name: str) -> None:
    timeline = Timeline(name)
    note(timeline, 0, StateChanged(S.CONNECTED, R.LOGIN_SUCCESS, S.CONNECTING))
    note(timeline, 1, PresenceChanged({name: PeerOnlineState.ONLINE}))
    note(timeline, 2, MemberJoined(name, name, 2))
    picture = merged_svg([timeline], title=name)
    kinds = {one.tag.removeprefix(NAMESPACE) for one in ET.fromstring(picture.encode()).iter()}
    assert kinds == {"svg", "title", "style", "rect", "text", "path"}
    table = timeline.table()
    table.encode()
    assert all(character.isprintable() for character in table.replace("\n", ""))
    assert len(table.splitlines()) == 6


def test_a_long_timeline_is_still_a_picture() -> None:
    source = random.Random(4)
    timeline = Timeline("alice")
    at = 0.0
    for n in range(1500):
        at += source.choice([0.0, 0.001, 3.0, 500.0])
        note(timeline, at, StateChanged((S.CONNECTED, S.RECONNECTING)[n % 2], R.INTERRUPTED, S.CONNECTED))
        note(timeline, at, TokenHasExpired())
    picture = timeline.svg()
    assert len(bars(picture)) == 1000
    assert len(picture) < 1_000_000
    assert any(line.endswith("more are in the table") for line in texts(picture))
    assert all(170 <= left <= right <= 1000 for _, left, right, _ in bars(picture))


# --- Words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (59.994, "59.99 s"),
        (59.996, "1 min 00.0 s"),
        (1200, "20 min 00.0 s"),
        (3599.96, "1 h 00 min 00 s"),
        (7510, "2 h 05 min 10 s"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_moments_outside_the_calendar_are_no_error() -> None:
    assert moment(1e300) == "an unknown time"
    assert offset(-0.001) == "+0.00 s"
