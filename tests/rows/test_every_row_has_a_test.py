"""Every row of the documented tables has a test named after it, or a sentence that says why it cannot have one."""

import ast
from functools import cache
from pathlib import Path

import attrs
import pytest

TESTS = Path(__file__).parents[1]


@attrs.frozen
class Row:
    """A documented row.

    Attributes:
        id: Table and row.
        test: How the names of its tests begin; empty for one that does not apply.
        where: The folder or file that has them, below the tests.
        why_not: Why there is none.
    """

    id: str
    test: str = ""
    where: str = "rows"
    why_not: str = ""


def rows_of(table: str, where: str, rows: dict[str, str]) -> list[Row]:
    return [Row(f"{table} {name}", test, where) for name, test in rows.items()]


def not_applicable(table: str, rows: dict[str, str]) -> list[Row]:
    return [Row(f"{table} {name}", why_not=why) for name, why in rows.items()]


RTM_TRANSITIONS = rows_of("3.1", "rows", {f"row {n}": f"test_rtm_3_1_row_{n:02}_" for n in range(1, 18)})

RTM_TIMERS = rows_of(
    "3.2",
    "rows",
    {
        "interruption detection": "test_rtm_3_2_interruption_detection_",
        "peer UNREACHABLE": "test_rtm_3_2_peer_unreachable_",
        "server removes session": "test_rtm_3_2_server_removes_the_session_",
        "channel replay window / max": "test_rtm_3_2_channel_replay_window_and_max_",
        "login": "test_rtm_3_2_login_",
        "sends": "test_rtm_3_2_sends_operations_and_status_subscriptions_",
        "join, leave, members, attributes": "test_rtm_3_2_sends_operations_and_status_subscriptions_",
        "status subscriptions": "test_rtm_3_2_sends_operations_and_status_subscriptions_",
        "token will-expire notice": "test_rtm_3_2_token_will_expire_notice_",
        "retry back-off": "test_rtm_3_2_retry_back_off_",
        "heartbeat": "test_rtm_3_2_heartbeat_",
    },
)

ROOM = [
    *rows_of(
        "4.1",
        "rows/test_room.py",
        {
            "Room.state": "test_room_4_1_room_state_",
            "participant state": "test_room_4_1_participant_state_",
            "signaling transport": "test_room_4_1_signaling_transport_",
        },
    ),
    *rows_of(
        "4.2",
        "rows/test_room.py",
        {
            "reconnecting": "test_room_4_2_reconnecting_",
            "reconnected": "test_room_4_2_reconnected_",
            "disconnected": "test_room_4_2_disconnected_",
            "participantConnected, participantDisconnected": (
                "test_room_4_2_participant_connected_and_disconnected"
            ),
            "participantReconnecting, participantReconnected": (
                "test_room_4_2_participant_reconnecting_and_reconnected"
            ),
            "emission": "test_room_4_2_the_state_is_the_new_one_",
        },
    ),
    *not_applicable(
        "4.2",
        {
            "dominantSpeakerChanged": "Nobody speaks: a room carries messages and data tracks, no sound.",
            "networkQualityLevelChanged": "There is neither sound nor picture whose quality could be rated.",
        },
    ),
    *rows_of("4.3", "rows/test_room.py", {f"row {n}": f"test_room_4_3_row_{n}_" for n in range(1, 8)}),
    *rows_of("4.3", "rows/test_room.py", {"DTLS failed": "test_room_4_5_53407_"}),
    *rows_of(
        "4.4",
        "rows/test_room.py",
        {
            "session time-out": "test_room_4_4_session_timeout_",
            "open and welcome time-out, hello tries": "test_room_4_4_open_timeout_",
            "media inactivity": "test_room_4_4_media_inactivity_",
            "token": "test_room_4_4_token_",
            "ghost participant": "test_room_4_4_ghost_participant_",
            "state during syncing": "test_room_4_4_messages_while_syncing_",
        },
    ),
    *not_applicable(
        "4.4",
        {
            "heartbeat": "Ours is the beat of all sessions, and 4 s of silence.",
            "WS reconnect back-off": "Ours is that of all sessions: 0.25 s, doubled up to 8 s.",
            "WS close codes": "Ours are those of all sessions, 4000 to 4999, listed in the protocol.",
            "network quality": "There is neither sound nor picture whose quality could be rated.",
            "large rooms": "A room has at most fifty participants.",
            "page unload": "There are no pages; the interpreter's exit says goodbye, which other tests show.",
            "versions": "When the documented SDKs learned what does not matter to this one.",
        },
    ),
    *rows_of(
        "4.5",
        "rows/test_room.py",
        {
            "none": "test_room_4_5_none_",
            "20104": "test_room_4_5_20104_",
            "53000": "test_room_4_5_53000_",
            "53002": "test_room_4_5_53002_",
            "53001, 53405": "test_room_4_5_53405_",
            "53006": "test_room_4_5_53006_",
            "53204, 53205": "test_room_4_5_53205_",
            "53407": "test_room_4_5_53407_",
        },
    ),
    *not_applicable("4.5", {"53118": "There is no way to complete a room over HTTP."}),
]

RTC = rows_of("6.1", "rows/test_rtc_timeline.py", {f"T{n}": f"test_rtc_T{n}_" for n in range(8)})
RTC += rows_of(
    "6.1",
    "rows/test_rtc_timeline.py",
    {
        "recovery": "test_rtc_recovery_",
        "before a first join": "test_rtc_T5_connection_lost_comes_before_a_first_join_too",
    },
)
RTC += rows_of("6.2", "rows/test_rtc_timeline.py", {"states": "test_rtc_6_2_states_have_their_numbers"})
RTC += rows_of(
    "6.3", "rows/test_rtc_timeline.py", {"reasons": "test_rtc_6_3_every_reason_has_a_test_or_says_why_not"}
)

AGGREGATE = [
    *rows_of(
        "5.4",
        "core/test_aggregate.py",
        {
            "one link and its TLS": "test_row_5_4_one_link_and_its_tls",
            "two links": "test_row_5_4_two_links",
            "all links and a set of TLS": "test_row_5_4_all_links_and_a_set_of_tls",
            "no transports": "test_row_5_4_no_transports_at_all",
        },
    ),
    *rows_of(
        "5.5",
        "core/test_aggregate.py",
        {
            "both wordings": "test_row_5_5_both_wordings",
            "closed": "test_row_5_5_a_closed_client_is_closed_",
        },
    ),
    *rows_of(
        "aggregate, live",
        "system/test_aggregate_live.py",
        {
            "client: new, connecting, connected, disconnected, closed": (
                "test_a_client_is_new_connecting_connected_disconnected_and_closed"
            ),
            "client: failed": "test_a_client_whose_login_fails_has_failed_",
            "room: new, closed": "test_a_room_that_was_never_connected_is_new",
            "room: connecting, connected": "test_a_room_is_connecting_until_its_media_",
            "room: disconnected": "test_a_room_shows_it_when_either_transport_is_silent",
            "room: failed": "test_a_room_that_is_disconnected_for_good_has_failed",
        },
    ),
]

SCENARIOS = [
    *rows_of(
        "scenario, simulated",
        "simulation/test_scenarios.py",
        {str(n): f"test_scenario_{n:02}_" for n in (*range(1, 16), 26, 28)},
    ),
    *rows_of(
        "scenario, real sockets",
        "system/test_scenarios.py",
        {str(n): f"test_scenario_{n:02}_" for n in (1, 2, 3, 8, 11, 13, 26)},
    ),
    Row("twenty windows, simulated", "test_resume_with_twenty_full_", "simulation/test_scenarios.py"),
    Row("twenty windows, real sockets", "test_resume_with_twenty_full_", "system/test_scenarios.py"),
]

ROWS = [*RTM_TRANSITIONS, *RTM_TIMERS, *ROOM, *RTC, *AGGREGATE, *SCENARIOS]


@cache
def names(where: str) -> tuple[str, ...]:
    """The test functions below a folder, or of a file."""
    place = TESTS / where
    files = [place] if place.is_file() else sorted(place.rglob("test_*.py"))
    return tuple(
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_has_a_test_or_says_why_not(row: Row) -> None:
    if row.why_not:
        assert not row.test
        assert row.why_not.endswith(".")
    else:
        assert any(name.startswith(row.test) for name in names(row.where)), f"no {row.test}* in {row.where}"


def test_each_row_is_listed_once() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


def test_no_other_rows_are_left_out() -> None:
    assert {row.id for row in ROWS if row.why_not} == {
        "4.2 dominantSpeakerChanged",
        "4.2 networkQualityLevelChanged",
        "4.4 heartbeat",
        "4.4 WS reconnect back-off",
        "4.4 WS close codes",
        "4.4 network quality",
        "4.4 large rooms",
        "4.4 page unload",
        "4.4 versions",
        "4.5 53118",
    }
