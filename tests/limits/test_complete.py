"""Each figure of `rtmcore.limits` that a caller can meet has a test at its boundary, or a reason why it has none."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

from rtmcore import limits
from tests.limits.rates import ALL
from tests.limits.rows import ROWS
from tests.limits.test_times import CALLS

TESTS = Path(__file__).parents[1]

TRIED = {
    # Here, on the client and on the server.
    "APP_ID_LENGTH": "limits/test_public.py::test_app_ids limits/test_server.py::test_app_ids_of_another_length",
    "CHANNELS_JOINED": "limits/test_public.py::test_channels_at_the_same_time "
    "limits/test_server.py::test_channels_at_the_same_time",
    "PRESENCE_SUBSCRIPTIONS": "limits/test_public.py::test_subscriptions_in_all "
    "limits/test_server.py::test_subscriptions_in_all",
    "CHANNEL_MEMBERS_LISTED": "limits/test_server.py::test_members_that_are_listed_and_announced",
    "MEMBER_EVENTS_MAX": "limits/test_server.py::test_members_that_are_listed_and_announced "
    "core/test_client_channels.py::test_the_known_members_are_bounded",
    "OFFLINE_MESSAGES": "limits/test_public.py::test_stored_messages limits/test_server.py::test_stored_messages",
    "OFFLINE_SECONDS": "limits/test_public.py::test_the_longest_time_to_live "
    "limits/test_public.py::test_times_to_live_beyond_it "
    "service/test_node_stored.py::test_a_stored_message_lives_as_long_as_it_was_given",
    "OFFLINE_DAYS": "service/engine_conformance_stored.py::test_no_message_is_kept_longer_than_7_days",
    "TOKEN_BYTES": "limits/test_public.py::test_tokens limits/test_server.py::test_tokens",
    "REQUESTS_IN_FLIGHT": "limits/test_told.py::test_requests_in_flight "
    "limits/test_server.py::test_requests_without_an_answer",
    "OUTBOUND_BYTES": "limits/test_told.py::test_bytes_in_flight",
    "INVITATION_CONTENT_BYTES": "limits/test_public.py::test_content_and_channel_of_an_invitation "
    "limits/test_server.py::test_texts_of_invitations",
    "INVITATION_CHANNEL_BYTES": "limits/test_public.py::test_content_and_channel_of_an_invitation "
    "limits/test_server.py::test_texts_of_invitations",
    "INVITATION_RESPONSE_BYTES": "limits/test_public.py::test_the_response_to_an_invitation "
    "limits/test_server.py::test_texts_of_invitations",
    "INVITATION_SIGNAL_BYTES": "limits/test_server.py::test_the_signal_of_an_invitation_as_a_whole",
    "SERVER_RATE_BURST": "limits/test_rates.py::test_a_client_that_is_not_inside_is_told_when_there_is_room "
    "service/test_node_rates.py::test_the_last_allowed_call_works_and_the_next_is_refused",
    "LOGIN_RATE": "limits/test_rates.py::test_logins "
    "limits/test_rates.py::test_logins_of_a_client_that_does_not_keep_the_rate",
    "JOIN_RATE": "limits/test_rates.py::test_joins_of_all_channels_and_of_one "
    "limits/test_rates.py::test_joins_of_a_client_that_does_not_keep_the_rate",
    "JOIN_SAME_CHANNEL_RATE": "limits/test_rates.py::test_joins_of_all_channels_and_of_one "
    "limits/test_rates.py::test_joins_of_a_client_that_does_not_keep_the_rate",
    "MESSAGE_BYTES_MAX": "limits/test_told.py::test_sizes_are_bounded",
    "ATTRIBUTES_MAX": "limits/test_told.py::test_sizes_are_bounded",
    "CHANNELS_JOINED_MAX": "limits/test_told.py::test_sizes_are_bounded",
    "LISTED_NAMES_MAX": "limits/test_told.py::test_sizes_are_bounded",
    "RATE_COUNT_MAX": "limits/test_told.py::test_rates_that_are_told_in_part_or_make_no_sense",
    "RATE_SECONDS_MAX": "limits/test_told.py::test_rates_that_are_told_in_part_or_make_no_sense",
    # Elsewhere.
    "CHANNEL_ATTRIBUTES_GRACE": "service/test_node_channel_attributes.py::"
    "test_they_outlive_sessions_and_go_when_nobody_was_there_for_a_while",
    "MEMBER_COUNT_INTERVAL": "service/test_node_counts.py::test_nothing_is_told_more_often_than_once_in_the_interval",
    "LARGE_MEMBER_COUNT_INTERVAL": "service/test_node_counts.py::test_a_large_channel_is_told_every_three_seconds",
    "LOGIN_TIMEOUT": "rows/test_rtm_timers.py::test_rtm_3_2_login_ends_after_twelve_seconds_of_two_attempts",
    "LOGIN_ATTEMPT_TIMEOUT": "rows/test_rtm_timers.py::test_rtm_3_2_login_ends_after_twelve_seconds_of_two_attempts",
    "INBOX_MESSAGES": "service/engine_conformance_messages.py::test_a_full_inbox_refuses_the_new_message",
    "INBOX_BYTES": "service/engine_conformance_messages.py::test_an_inbox_is_held_to_its_bytes",
    "ALL_INBOXES_BYTES": "service/engine_conformance_messages.py::test_all_inboxes_together_are_held_to_their_bytes",
    "STORED_BYTES": "service/engine_conformance_messages.py::test_over_a_cap_the_new_message_is_refused",
    "STORED_BYTES_PER_SENDER": "service/engine_conformance_messages.py::test_over_a_cap_the_new_message_is_refused",
    "STORED_MESSAGES_PER_SENDER_DAY": "service/engine_conformance_messages.py::"
    "test_over_a_cap_the_new_message_is_refused",
    "TOKEN_SECONDS_MAX": "server/test_tokens.py::test_a_token_of_more_than_a_day_is_refused_when_it_is_used",
    "TOKEN_SECONDS_DEFAULT": "server/test_access_tokens.py::test_a_life_is_the_default_one_where_none_is_named",
    "TOKEN_LEEWAY": "server/test_tokens.py::test_a_token_expires_by_the_wall_clock_with_some_leeway",
    "TOKEN_ISSUED_AHEAD": "server/test_access_tokens.py::test_a_token_from_the_future",
    "TOKEN_INFLATED_BYTES": "server/test_access_tokens.py::test_what_inflates_beyond_its_bound_is_not_inflated",
    "TOKEN_KEY_BYTES_MIN": "server/test_tokens.py::test_made_tokens_and_keys_are_checked_at_once",
    "TOKEN_SALT_MAX": "server/test_access_tokens.py::test_what_cannot_be_made_is_refused",
    "APP_CERTIFICATE_LENGTH": "server/test_access_tokens.py::test_an_app_is_checked_at_once",
    "APP_CERTIFICATES": "server/test_access_tokens.py::test_an_app_is_checked_at_once",
    "TOKEN_WILL_EXPIRE_BEFORE": "rows/test_rtm_timers.py::"
    "test_rtm_3_2_token_will_expire_notice_comes_thirty_seconds_before",
    "INVITATIONS_SENT": "simulation/test_invitations.py::test_too_many_sent_at_once",
    "INVITATIONS_OF_ONE_CALLER": "simulation/test_invitations.py::test_a_caller_who_rings_too_much_is_not_heard",
    "HISTORY_DAYS": "service/engine_conformance_history.py::test_it_goes_back_7_days",
    "HISTORY_BYTES": "service/engine_conformance_history.py::test_the_oldest_make_room",
    "HTTP_PEER_MESSAGE_RATE": "service/test_node_web.py::test_the_documented_rate_and_a_burst",
    "HTTP_BODY_BYTES": "core/test_exchange.py::"
    "test_the_largest_body_passes_and_one_byte_more_is_refused_at_its_head",
    "IDEMPOTENCY_KEY_LENGTH": "service/test_node_web.py::test_keys_of_another_shape_are_refused",
    "IDEMPOTENCY_SECONDS": "service/engine_conformance_events.py::test_what_is_kept_for_repeats_is_bounded",
    "IDEMPOTENCY_KEYS": "service/engine_conformance_events.py::test_what_is_kept_for_repeats_is_bounded",
    "EVENT_FEED_STORED": "service/engine_conformance_events.py::test_the_oldest_events_make_room_and_are_counted",
    "EVENT_FEED_PER_CALL": "service/engine_conformance_events.py::test_the_oldest_events_make_room_and_are_counted",
    "EVENT_FEED_RATE": "service/test_node_web_questions.py::test_each_feed_has_a_rate_of_its_own",
    "LOG_FILE_BYTES_MIN": "sync/test_logs.py::test_the_size_of_a_file_has_bounds",
    "LOG_FILE_BYTES_MAX": "sync/test_logs.py::test_the_size_of_a_file_has_bounds",
    "LOG_FILES": "sync/test_logs.py::test_there_are_two_files_in_turn_of_the_size_that_was_set",
    "BANS": "service/engine_conformance_bans.py::test_bans_above_the_cap_are_refused_and_do_nothing",
    "BAN_REASON_LENGTH": "system/test_bans.py::test_a_ban_of_nobody_or_for_no_text_is_an_error",
    "ROOM_PARTICIPANTS": "rows/test_room.py::test_room_one_more_than_fifty_participants_is_refused",
    "DATA_TRACKS": "core/test_room_traffic.py::test_tracks_are_limited",
    "TRACK_NAME_BYTES": "core/test_room_traffic.py::test_frames_that_cannot_be_sent",
    "MEDIA_ID_LENGTH": "core/test_files.py::test_what_others_make_up_is_refused_and_raises_nothing",
    "MEDIA_SIDE_PIXELS": "core/test_files.py::test_what_others_make_up_is_refused_and_raises_nothing",
    "MEDIA_HEADER_BYTES": "core/test_images.py::test_what_is_no_picture_has_no_size",
    "MEDIA_JPEG_SEGMENTS": "core/test_images.py::test_what_is_no_picture_has_no_size",
    "MEDIA_THUMBNAIL_PIXELS": "sync/test_thumbnails.py::test_what_cannot_be_unpacked_safely_is_refused",
    "MEDIA_THUMBNAIL_SIDE": "sync/test_thumbnails.py::test_a_thumbnail_is_a_small_jpeg",
    "MEDIA_THUMBNAIL_BYTES": "sync/test_thumbnails.py::test_a_thumbnail_is_a_small_jpeg",
    "MEDIA_STALL_TIMEOUT": "core/test_transfers.py::test_a_silent_connection_is_replaced",
    "MEDIA_WITHDRAW_TIMEOUT": "core/test_transfers.py::"
    "test_the_removal_of_a_canceled_upload_takes_no_longer_than_it_may",
    "MEDIA_TICKET_MARGIN": "core/test_client_transfers.py::"
    "test_a_ticket_serves_several_transfers_until_shortly_before_its_end",
    "MEDIA_PROGRESS_INTERVAL": "sync/test_transfers.py::"
    "test_a_slow_upload_tells_its_progress_ten_times_a_second_at_most",
    "MEDIA_BYTES": "service/test_node_blobs_uploads.py::test_what_can_be_announced"
    " sync/test_transfers.py::test_a_file_is_at_most_30_mib",
    "MEDIA_NAME_BYTES": "service/test_node_blobs_uploads.py::test_what_can_be_announced"
    " core/test_files.py::test_what_others_make_up_is_refused_and_raises_nothing",
    "MEDIA_UNFINISHED": "service/test_node_blobs_uploads.py::test_unfinished_uploads_are_bounded",
    "MEDIA_TRANSFERS": "service/test_node_blobs_downloads.py::test_a_user_has_nine_transfers_at_once"
    " sync/test_transfers.py::test_nine_transfers_run_at_once",
    "MEDIA_TRANSFERS_MAX": "service/test_node_blobs_downloads.py::test_all_transfers_together_are_bounded",
    "MEDIA_WINDOW_BYTES": "service/test_node_blobs_downloads.py::test_the_node_reads_no_more_than_the_store_takes",
    "MEDIA_IDLE_TIMEOUT": "service/test_node_blobs_downloads.py::test_who_sends_nothing_for_two_minutes_is_sent_away "
    "service/test_node_blobs_downloads.py::test_who_takes_nothing_for_two_minutes_is_sent_away"
    " core/test_transfers.py::test_120_seconds_without_a_byte_are_a_timeout",
    "MEDIA_DAYS": "service/blob_conformance.py::test_a_blob_lives_for_7_days",
    "MEDIA_UNFINISHED_SECONDS": "service/blob_conformance.py::"
    "test_an_unfinished_one_lives_for_an_hour_after_its_last_byte",
    "MEDIA_APP_BYTES": "service/blob_conformance.py::test_bytes_of_an_app_and_of_all_are_bounded",
    "MEDIA_ALL_BYTES": "service/blob_conformance.py::test_bytes_of_an_app_and_of_all_are_bounded",
    "MEDIA_MEMORY_BYTES": "service/test_blobs_memory.py::test_it_never_holds_more_than_memory_has_room_for",
    "MEDIA_TICKET_RATE": "service/test_node_blobs_tickets.py::test_a_user_gets_so_many_tickets_and_a_burst",
    "MEDIA_TICKET_SECONDS": "service/test_node_blobs_tickets.py::test_a_session_gets_a_ticket",
    "REPLAY_MAX": "rows/test_rtm_timers.py::test_rtm_3_2_channel_replay_window_and_max_count_back_from_the_reconnect",
    "REPLAY_WINDOW": "rows/test_rtm_timers.py::"
    "test_rtm_3_2_channel_replay_window_and_max_count_back_from_the_reconnect",
}
"""Tests of figures that are not in the tables of rows and rates, or that count in another way besides."""

WITHOUT = {
    "METADATA_KEY_BYTES": "metadata of 1.6 is not part of this API",
    "GET_TIMEOUT": "time",
    "PUBLISH_TIMEOUT": "time",
    "LOGOUT_TIMEOUT": "time",
    "CLOSE_TIMEOUT": "time",
    "GOODBYE_TIMEOUT": "time",
    "EXIT_GOODBYE_TIMEOUT": "time",
    "TOKEN_PROVIDER_TIMEOUT": "time",
    "TOKEN_PATIENCE": "time",
    "DELIVERY_JOURNAL_DELAY": "time of the journal",
    "KEY_FILE_INTERVAL": "time of the server",
    "SETTINGS_BYTES": "bounds a file of the operator",
    "MEDIUM_CHANNEL_MEMBERS": "advice, not enforced",
    "LARGE_CHANNEL_MEMBERS": "advice, not enforced",
    "SMALL_CHANNEL_ADVISED_RATE": "advice, not enforced",
    "MEDIUM_CHANNEL_ADVISED_RATE": "advice, not enforced",
    "LARGE_CHANNEL_ADVISED_RATE": "advice, not enforced",
    "INVITATION_ACKNOWLEDGE_TIMEOUT": "time: tests/simulation/test_invitations.py",
    "INVITATION_EXPIRE_AFTER": "time: tests/simulation/test_invitations.py",
    "INVITATION_ACCEPT_TIMEOUT": "time: tests/simulation/test_invitations.py",
    "INVITATION_WAIT": "time: tests/simulation/test_invitations.py",
    "INVITATION_RESEND": "time: tests/simulation/test_invitations.py",
    "INVITATION_ID_BYTES": "ids are made by the client itself; longer ones of others are no signals",
    "INVITATIONS_RECEIVED": "bounds memory: above the count of one caller, and nobody is told",
    "INVITATIONS_REMEMBERED": "bounds memory",
    "HISTORY_SECONDS": "HISTORY_DAYS in seconds",
    "HISTORY_POLL_INTERVAL": "time; the history is answered at once",
    "HTTP_CHANNEL_MESSAGE_RATE": "counted as that of peer messages",
    "HTTP_EARLY_BYTES": "bounds memory",
    "HTTP_IDLE_TIMEOUT": "time",
    "HTTP_CONTINUE_TIMEOUT": "time",
    "HTTP_WINDOW_BYTES": "bounds memory",
    "HTTP_CHUNK_LINE_BYTES": "the wire: tests/core/test_exchange_bodies.py",
    "HTTP_CHUNK_EXCESS_BYTES": "the wire: tests/core/test_exchange_bodies.py",
    "HTTP_INTERIM_RESPONSES": "the wire: tests/core/test_exchange_client.py",
    "LOG_FILE_BYTES": "a default",
    "HTTP_ANSWER_BYTES": "bounds memory",
    "EVENT_FEED_REPEATED": "bounds memory",
    "MEDIA_SECONDS": "MEDIA_DAYS in seconds",
    "MEDIA_CHUNK_BYTES": "bounds memory",
    "MEDIA_TICKET_LENGTH": "bounds memory: tickets are made by the server itself",
    "MEDIA_SWEEP_INTERVAL": "time; what has expired cannot be had before it is swept",
    "MEDIA_ANSWERS_PER_TURN": "bounds a turn: tests/service/test_node_blobs_turns.py",
}
"""Figures of the sections that callers can meet which have no test at a boundary, and why."""

CONFIGURED = "however a server is configured"
"""What comments say of the bounds of configurations: tests/service/test_node_limits.py has all of them."""

KINDS = {
    "Identifiers, messages, attributes": None,
    "Rates of one client": None,
    "Total time of a call": None,
    "Peer messages in store": None,
    "Channels and presence": None,
    "Tokens": None,
    "Call invitations": None,
    "Files and images": None,
    "History, event feeds and messages over HTTP": None,
    "Log files": None,
    CONFIGURED: "what an operator may set: tests/service/test_node_limits.py",
    "Silence, reconnecting, replay": "times of the connection: tests/rows",
    "Frames and handshake": "the wire: tests/core/test_transport.py, tests/service/test_node_hello.py",
    "Flow control and exactly-once": "the wire and memory: tests/service/test_node_requests.py",
    "RTC policy": "times of RTC channels: tests/rows",
    "Room policy": "times of rooms: tests/rows",
    "Client queues": "queues of an application that does not keep up: tests/sync/test_queues.py",
    "Server": "turns and memory of a server",
    "Memory of an engine": "memory of a server",
    "Fault proxy of the tests": "no part of the API",
}
"""The sections of `rtmcore.limits`: None where each figure needs a row, a test or a reason, otherwise what they are."""


def figures() -> dict[str, str]:
    """The section of each figure; the bounds of configurations are a section by themselves."""
    section, comment, found = "", "", {}
    for line in inspect.getsource(limits).splitlines():
        if line.startswith("# --- "):
            section = line.strip("# -")
        elif line.startswith("#: "):
            comment = line
        elif match := re.match(r"([A-Z][A-Z0-9_]+): Final", line):
            found[match[1]] = CONFIGURED if CONFIGURED in comment and section else section
    return found


def kind_of(section: str) -> str | None:
    (kind,) = [kind for kind in KINDS if section.startswith(kind)]
    return KINDS[kind]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


ROWED = {
    *(figure for row in ROWS for figure in row.figures),
    *(rate.figure for rate in ALL),
    *(figure for figure, _, _ in CALLS),
}
FIGURES = {name: section for name, section in figures().items() if section}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_test_or_a_reason(name: str) -> None:
    tried = name in ROWED or name in TRIED
    assert not (tried and name in WITHOUT), "it needs no reason"
    assert tried or name in WITHOUT or kind_of(FIGURES[name]) is not None


@pytest.mark.parametrize("name", TRIED)
def test_the_tests_exist(name: str) -> None:
    assert name in FIGURES
    for test in TRIED[name].split():
        path, function = test.split("::")
        assert function in functions(path)


def test_no_reason_is_left_over() -> None:
    assert FIGURES.keys() >= WITHOUT.keys()
    assert FIGURES.keys() >= ROWED
    assert {
        kind for kind in KINDS if not any(section.startswith(kind) for section in FIGURES.values())
    } == set()
