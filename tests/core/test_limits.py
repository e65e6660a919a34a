"""The figures, against tables typed from the documents; the shape of ids."""

import ast
import inspect
import string

import attrs
import pytest

from rtmcore import limits
from rtmcore.identifiers import explain_invalid_id, is_valid_app_id, is_valid_id
from rtmcore.limits import RateLimit

SIZES_AND_COUNTS = {
    "APP_ID_LENGTH": 32,
    "USER_ID_BYTES": 64,
    "CHANNEL_ID_BYTES": 64,
    "MESSAGE_BYTES": 32768,
    "ATTRIBUTE_KEY_BYTES": 32,
    "ATTRIBUTE_VALUE_BYTES": 8192,
    "USER_ATTRIBUTES": 32,
    "USER_ATTRIBUTES_BYTES": 16384,
    "CHANNEL_ATTRIBUTES": 32,
    "CHANNEL_ATTRIBUTES_BYTES": 32768,
    "INVITATION_CONTENT_BYTES": 8192,
    "INVITATION_RESPONSE_BYTES": 8192,
    "MESSAGE_BYTES_MAX": 131072,
    "ATTRIBUTES_MAX": 256,
    "CHANNELS_JOINED_MAX": 64,
    "LISTED_NAMES_MAX": 2048,
    "RATE_COUNT_MAX": 100_000,
    "CHANNEL_MEMBERS_LISTED_MAX": 1024,
    "REPLAY_MAX_CONFIGURED": 256,
    "REPLAY_BYTES_MAX": 4194304,
    "INBOX_WINDOW_MESSAGES_MAX": 4096,
    "INBOX_WINDOW_BYTES_MAX": 4194304,
    "RESULTS_REMEMBERED_MAX": 65536,
    "KEPT_DAYS_MAX": 3650,
    "DATA_FRAMES_KEPT_MAX": 1024,
    "REPLAY_MAX": 32,
    "FRAME_BYTES": 262144,
    "PACKETS_PER_FRAME": 64,
    "HANDSHAKE_BYTES": 16384,
    "HELLO_BYTES": 16384,
    "BATCH_PACKETS": 16,
    "BATCH_BYTES": 65536,
    "INBOX_WINDOW_MESSAGES": 256,
    "INBOX_WINDOW_BYTES": 1048576,
    "ORIGINS_REMEMBERED": 4096,
    "RESULTS_REMEMBERED": 1024,
    "BANS": 100_000,
    "BAN_REASON_LENGTH": 500,
    "REQUESTS_IN_FLIGHT": 1024,
    "OUTBOUND_BYTES": 8388608,
    "SERVER_OUTBOUND_BYTES": 8388608,
    "INBOX_MESSAGES": 10000,
    "INBOX_BYTES": 8388608,
    "ALL_INBOXES_BYTES": 536870912,
    "OFFLINE_MESSAGES": 200,
    "OFFLINE_DAYS": 7,
    "OFFLINE_SECONDS": 604800,
    "STORED_BYTES_PER_SENDER": 67108864,
    "STORED_MESSAGES_PER_SENDER_DAY": 10000,
    "STORED_BYTES": 10737418240,
    "CHANNELS_JOINED": 20,
    "CHANNEL_MEMBERS_LISTED": 512,
    "MEMBER_EVENTS_MAX": 512,
    "MEMBER_COUNT_CHANNELS": 32,
    "PRESENCE_QUERY_USERS": 256,
    "PRESENCE_SUBSCRIPTIONS": 512,
    "TOKEN_SECONDS_MAX": 86400,
    "TOKEN_SECONDS_DEFAULT": 900,
    "TOKEN_LEEWAY": 10,
    "TOKEN_SALT_MAX": 99999999,
    "MEDIA_BYTES": 31457280,
    "MEDIA_DAYS": 7,
    "MEDIA_TRANSFERS": 9,
    "HISTORY_DAYS": 7,
    "HISTORY_BYTES": 2147483648,
    "HISTORY_PAGE_SIZES": (20, 50, 100),
    "EVENT_FEED_STORED": 2000,
    "EVENT_FEED_PER_CALL": 1000,
    "LOG_FILE_BYTES": 10485760,
    "LOG_FILE_BYTES_MIN": 524288,
    "LOG_FILE_BYTES_MAX": 1073741824,
    "LOG_FILES": 2,
    "ROOM_HELLO_TRIES": 3,
    "ROOM_HEARTBEATS_MISSED": 3,
    "ROOM_NETWORK_QUALITY_MAX": 5,
    "ROOM_LARGE_PARTICIPANTS": 50,
    "ACCEPTS_PER_TURN": 64,
    "READ_CHUNK": 65536,
    "BLOB_THREADS": 4,
    "SUBSCRIPTION_QUEUE": 1000,
    "DISPATCH_WAITING": 256,
}

SECONDS = {
    "LOGIN_TIMEOUT": 12,
    "LOGIN_ATTEMPT_TIMEOUT": 6,
    "SEND_TIMEOUT": 10,
    "OPERATION_TIMEOUT": 5,
    "PRESENCE_TIMEOUT": 10,
    "LOGOUT_TIMEOUT": 5,
    "CLOSE_TIMEOUT": 5,
    "GOODBYE_TIMEOUT": 1,
    "INTERRUPTED_AFTER": 4,
    "SPARE_TRANSPORT_AFTER": 3,
    "UNREACHABLE_AFTER": 6,
    "OFFLINE_AFTER": 30,
    "BEAT_INTERVAL": 1.5,
    "REPLAY_WINDOW": 30,
    "BACKOFF_BASE": 0.25,
    "BACKOFF_FACTOR": 2,
    "BACKOFF_CAP": 8,
    "RESTORE_TIMEOUT": 5,
    "HELLO_TIMEOUT": 5,
    "BATCH_DELAY": 0.002,
    "ORIGIN_MEMORY": 120,
    "RESULT_MEMORY": 120,
    "COMMAND_TIMEOUT": 5,
    "DELIVERY_JOURNAL_DELAY": 1,
    "MEMBER_COUNT_INTERVAL": 1,
    "LARGE_MEMBER_COUNT_INTERVAL": 3,
    "CHANNEL_ATTRIBUTES_GRACE": 120,
    "TOKEN_WILL_EXPIRE_BEFORE": 30,
    "INVITATION_ACKNOWLEDGE_TIMEOUT": 30,
    "INVITATION_EXPIRE_AFTER": 60,
    "INVITATION_ACCEPT_TIMEOUT": 30,
    "MEDIA_IDLE_TIMEOUT": 120,
    "HISTORY_POLL_INTERVAL": 2,
    "RTC_LOGIN_TIMEOUT": 10,
    "RTC_INTERRUPTED_AFTER": 4,
    "RTC_LOST_AFTER": 10,
    "RTC_REMOTE_OFFLINE_AFTER": 20,
    "RTC_GIVE_UP_AFTER": 20 * 60,
    "ROOM_CONNECT_TIMEOUT": 15,
    "ROOM_SIGNALING_INTERRUPTED_AFTER": 4,
    "ROOM_MEDIA_INTERRUPTED_AFTER": 3,
    "ROOM_PARTICIPANT_RECONNECTING_AFTER": 6,
    "ROOM_SESSION_TIMEOUT": 30,
    "ROOM_BACKOFF_BASE": 0.08,
    "ROOM_BACKOFF_FACTOR": 1.5,
    "ROOM_BACKOFF_CAP": 10,
    "CLOCK_RESERVATION": 60,
    "LATE_TURN": 1,
    "BAN_TIMEOUT": 10,
    "TURN_POLL": 0.05,
}

RATES = {
    "LOGIN_RATE": (2, 1),
    "RENEW_TOKEN_RATE": (2, 1),
    "SEND_RATE": (180, 3),
    "JOIN_RATE": (50, 3),
    "JOIN_SAME_CHANNEL_RATE": (2, 5),
    "MEMBERS_RATE": (5, 2),
    "MEMBER_COUNT_RATE": (1, 1),
    "PRESENCE_QUERY_RATE": (10, 5),
    "PRESENCE_SUBSCRIBE_RATE": (10, 5),
    "PEERS_SUBSCRIBED_RATE": (10, 5),
    "USER_ATTRIBUTES_WRITE_RATE": (10, 5),
    "USER_ATTRIBUTES_READ_RATE": (40, 5),
    "CHANNEL_ATTRIBUTES_WRITE_RATE": (10, 5),
    "CHANNEL_ATTRIBUTES_READ_RATE": (10, 5),
    "HISTORY_RATE": (100, 1),
    "HTTP_PEER_MESSAGE_RATE": (500, 1),
    "HTTP_CHANNEL_MESSAGE_RATE": (1000, 1),
    "EVENT_FEED_RATE": (10, 1),
}

ALLOWED = string.ascii_letters + string.digits + " !#$%&()+-:;<=.>?@[]^_{}|~,"


def constants():
    """Name, value and preceding comment of every constant that the module defines."""
    source = inspect.getsource(limits)
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            above = node.lineno - 2
            comment = []
            while lines[above].startswith("#:"):
                comment.insert(0, lines[above].removeprefix("#:").strip())
                above -= 1
            yield target.id, getattr(limits, target.id), " ".join(comment)


CONSTANTS = list(constants())
UNITS = {"KIB", "MIB", "GIB", "DAY"}


@pytest.mark.parametrize(("name", "value"), (SIZES_AND_COUNTS | SECONDS).items())
def test_figures_are_the_documented_ones(name, value):
    assert getattr(limits, name) == value


@pytest.mark.parametrize(("name", "value"), RATES.items())
def test_rates_are_the_documented_ones(name, value):
    assert attrs.astuple(getattr(limits, name)) == value


@pytest.mark.parametrize(("name", "value", "comment"), CONSTANTS, ids=[name for name, *_ in CONSTANTS])
def test_every_constant_is_positive_and_says_where_it_comes_from(name, value, comment):
    assert name.isupper()
    if isinstance(value, RateLimit):
        assert value.count >= 1
        assert value.seconds > 0
    elif isinstance(value, (tuple, frozenset)):
        assert value
    else:
        assert isinstance(value, (int, float))
        assert value > 0
    if name not in UNITS:
        assert "seed 00" in comment or "seeds 00" in comment or "documented" in comment or "design" in comment


def test_no_figure_is_named_twice():
    names = [name for name, *_ in CONSTANTS]
    assert len(names) == len(set(names))


def test_the_timers_fit_into_one_another():
    assert 2 * limits.BEAT_INTERVAL <= limits.INTERRUPTED_AFTER
    assert limits.SPARE_TRANSPORT_AFTER < limits.INTERRUPTED_AFTER < limits.UNREACHABLE_AFTER
    assert limits.UNREACHABLE_AFTER < limits.OFFLINE_AFTER
    assert limits.LOGIN_ATTEMPT_TIMEOUT < limits.LOGIN_TIMEOUT
    assert limits.BACKOFF_CAP < limits.OFFLINE_AFTER - limits.LOGIN_ATTEMPT_TIMEOUT
    assert limits.RTC_INTERRUPTED_AFTER < limits.RTC_LOST_AFTER < limits.RTC_REMOTE_OFFLINE_AFTER


def test_the_sizes_fit_into_one_another():
    assert limits.MESSAGE_BYTES < limits.BATCH_BYTES < limits.FRAME_BYTES < limits.OUTBOUND_BYTES
    assert limits.TOKEN_BYTES < limits.HELLO_BYTES
    assert (
        limits.MESSAGE_BYTES * 2 < limits.INBOX_WINDOW_BYTES < limits.INBOX_BYTES < limits.ALL_INBOXES_BYTES
    )
    assert limits.BATCH_PACKETS <= limits.PACKETS_PER_FRAME


def test_rate_limits_are_values_that_read_well():
    assert str(limits.SEND_RATE) == "180 in 3 s"
    assert RateLimit(2, 1.0) == limits.LOGIN_RATE
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        limits.LOGIN_RATE.count = 1000


def test_ids_are_made_of_exactly_the_89_documented_characters():
    accepted = {chr(number) for number in range(0x3000) if is_valid_id(chr(number))}
    assert accepted == set(ALLOWED)
    assert len(accepted) == 89


@pytest.mark.parametrize("excluded", [*"\"'*/\\`\t\n\x00\x7f", "é", "猫", "\ud800", "\U0001f600"])
def test_other_characters_are_refused_and_named(excluded):
    assert not is_valid_id(f"a{excluded}b")
    assert ascii(excluded) in explain_invalid_id(f"a{excluded}b", "user id")


@pytest.mark.parametrize("length", [1, 2, 63, 64])
def test_ids_have_up_to_64_bytes(length):
    assert is_valid_id("x" * length)
    assert explain_invalid_id("x" * length, "user id") is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "The channel id is empty; it has to have 1 to 64 bytes."),
        ("x" * 65, "The channel id has 65 bytes; at most 64 are allowed."),
        ("猫" * 22, "The channel id has 66 bytes; at most 64 are allowed."),
        ("x" * 1_000_000, "The channel id has 1000000 bytes; at most 64 are allowed."),
        ("null", 'The channel id is the word "null", which is reserved.'),
        (None, "The channel id has to be a string, not NoneType."),
        (7, "The channel id has to be a string, not int."),
        (b"alice", "The channel id has to be a string, not bytes."),
    ],
)
def test_what_is_no_id_is_explained_in_a_sentence(value, why):
    assert not is_valid_id(value)
    assert explain_invalid_id(value, "channel id") == why


@pytest.mark.parametrize("value", ["Null", "NULL", "nul", "null ", "none", " ", "_", ".", "{a}"])
def test_only_the_very_word_null_is_reserved(value):
    assert is_valid_id(value)


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("0123456789abcdef0123456789ABCDEF", True),
        ("x" * 32, True),
        ("x" * 31, False),
        ("x" * 33, False),
        ("", False),
        ("x" * 31 + " ", False),
        ("x" * 31 + "\n", False),
        ("x" * 31 + "é", False),
        (b"x" * 32, False),
        (None, False),
    ],
)
def test_app_ids_are_32_visible_ascii_characters(value, valid):
    assert is_valid_app_id(value) is valid
