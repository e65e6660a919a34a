"""Every size, count and character set of requests: what is just allowed, what is not any more, and with which code.

Each row is tried through the public API against a real server (`test_public.py`), and by a hand-made client that checks
nothing against the node (`test_server.py`). Figures are those of `rtmcore.limits`.
"""

import string
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import attrs

from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    CreateChannelError,
    JoinChannelError,
    MessageType,
    PeerSubscriptionStatusError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    HISTORY_PAGE_SIZES,
    ID_CHARACTERS,
    MEMBER_COUNT_CHANNELS,
    MESSAGE_BYTES,
    PRESENCE_QUERY_USERS,
    PRESENCE_SUBSCRIPTIONS,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
    USER_ID_BYTES,
)
from rtmcore.wire.described import with_description
from rtmcore.wire.packets import (
    RAW_DESCRIBED,
    GetAttributes,
    GetChannelAttributes,
    GetMemberCounts,
    Join,
    Publish,
    QueryHistory,
    QueryOnline,
    Request,
    SendPeer,
    SetAttributes,
    SetChannelAttributes,
    Subscribe,
    Unsubscribe,
    UpdateAttributes,
    UpdateChannelAttributes,
)

PEER, CHANNEL = "bob", "ops"
"""Names of the hand-made client's peer and channel; the public API uses those of a `Place`."""

ATTRIBUTES = AttributeOperationError
TEXT = int(MessageType.TEXT)
RAW = int(MessageType.RAW)


@attrs.define
class Place:
    """Where the public API is tried: two clients in one channel."""

    alice: Any
    bob: Any
    room: Any
    """The channel, as alice has it."""


@attrs.frozen
class Row:
    """One limit of one call.

    Attributes:
        name: Of the test.
        figures: The names of what it is about, in `rtmcore.limits`.
        good: Arguments that are just allowed.
        bad: Arguments that are not, each with its code.
        call: Calls the public API with an argument.
        request: Makes the packet of a hand-made client, which has the peer `PEER` and the channel `CHANNEL`.
        fine: Codes that answer an argument which was allowed, where there is nothing of that name.
        public: The code of the public API, where it refuses what is bad before it comes to the call itself.
        before: What is done before each of them: by the public API, and as a packet.
    """

    name: str
    figures: tuple[str, ...]
    good: Sequence[Any]
    bad: Sequence[tuple[Any, IntEnum]]
    call: Callable[[Place, Any], Any]
    request: Callable[[int, Any], Request]
    fine: tuple[IntEnum, ...] = ()
    public: IntEnum | None = None
    before: tuple[Callable[[Place], Any], Callable[[int], Request]] | None = None


# --- Ids --------------------------------------------------------------------------------------------------------------

_ALPHABET = sorted(ID_CHARACTERS)
GOOD_IDS = [
    "x",
    "x" * USER_ID_BYTES,
    "".join(_ALPHABET[:USER_ID_BYTES]),
    "".join(_ALPHABET[USER_ID_BYTES:]),
]
OTHER_CHARACTERS = [*sorted(set(map(chr, range(128))) - ID_CHARACTERS), "\x80", "é", "Ω", "猫", "\U0001f600"]
BAD_IDS = [
    "",
    "x" * (USER_ID_BYTES + 1),
    "é" * (USER_ID_BYTES // 2 + 1),
    "null",
    *(f"a{character}b" for character in OTHER_CHARACTERS),
]


def _ids(
    name: str,
    code: IntEnum,
    call: Callable[[Place, str], Any],
    request: Callable[[int, str], Request],
    *,
    of: str,
    fine: tuple[IntEnum, ...] = (),
    public: IntEnum | None = None,
) -> Row:
    return Row(
        name,
        (of, "ID_CHARACTERS"),
        GOOD_IDS,
        [(value, code) for value in BAD_IDS],
        call,
        request,
        fine,
        public,
    )


_USER, _OF_CHANNEL = "USER_ID_BYTES", "CHANNEL_ID_BYTES"
QUERY, COUNT = QueryPeersOnlineError, ChannelMemberCountError

IDS = [
    _ids(
        "peer of a message",
        SendPeerMessageError.INVALID_USER_ID,
        lambda place, value: place.alice.send_peer(value, "hello", offline=True),
        lambda i, value: SendPeer(i, value, TEXT, b"hello", True),
        of=_USER,
    ),
    _ids(
        "user to subscribe to",
        PeerSubscriptionStatusError.INVALID_ARGUMENT,
        lambda place, value: place.alice.subscribe_presence([value]),
        lambda i, value: Subscribe(i, [value]),
        of=_USER,
    ),
    _ids(
        "user to unsubscribe from",
        PeerSubscriptionStatusError.INVALID_ARGUMENT,
        lambda place, value: place.alice.unsubscribe_presence([value]),
        lambda i, value: Unsubscribe(i, [value]),
        of=_USER,
    ),
    _ids(
        "user asked about",
        QUERY.INVALID_ARGUMENT,
        lambda place, value: place.alice.query_presence([value]),
        lambda i, value: QueryOnline(i, [value]),
        of=_USER,
    ),
    _ids(
        "owner of attributes",
        ATTRIBUTES.INVALID_ARGUMENT,
        lambda place, value: place.alice.get_attributes(value),
        GetAttributes,
        of=_USER,
        fine=(ATTRIBUTES.USER_NOT_FOUND,),
    ),
    _ids(
        "source of the history",
        QUERY.INVALID_ARGUMENT,
        lambda place, value: place.alice.history(source=value),
        lambda i, value: QueryHistory(i, source=value),
        of=_USER,
        fine=(QUERY.REJECTED,),
    ),
    _ids(
        "channel to join",
        JoinChannelError.INVALID_ARGUMENT,
        lambda place, value: place.alice.channel(value).join(),
        Join,
        of=_OF_CHANNEL,
        public=CreateChannelError.INVALID_ARGUMENT,
    ),
    _ids(
        "channel with attributes",
        ATTRIBUTES.INVALID_ARGUMENT,
        lambda place, value: place.alice.set_channel_attributes(value, {"a": "b"}),
        lambda i, value: SetChannelAttributes(i, value, {"a": "b"}),
        of=_OF_CHANNEL,
    ),
    _ids(
        "channel whose attributes change",
        ATTRIBUTES.INVALID_ARGUMENT,
        lambda place, value: place.alice.update_channel_attributes(value, {"a": "b"}),
        lambda i, value: UpdateChannelAttributes(i, value, {"a": "b"}),
        of=_OF_CHANNEL,
    ),
    _ids(
        "channel whose attributes are read",
        ATTRIBUTES.INVALID_ARGUMENT,
        lambda place, value: place.alice.get_channel_attributes(value),
        GetChannelAttributes,
        of=_OF_CHANNEL,
    ),
    _ids(
        "channel whose members are counted",
        COUNT.INVALID_ARGUMENT,
        lambda place, value: place.alice.member_counts([value]),
        lambda i, value: GetMemberCounts(i, [value]),
        of=_OF_CHANNEL,
    ),
    _ids(
        "channel of the history",
        QUERY.INVALID_ARGUMENT,
        lambda place, value: place.alice.history(channel=value),
        lambda i, value: QueryHistory(i, destination=value, channel=True),
        of=_OF_CHANNEL,
        fine=(QUERY.REJECTED,),
    ),
]

# --- Messages -------------------------------------------------------------------------------------------------------

TEXTS = ["", "x" * MESSAGE_BYTES, "é" * (MESSAGE_BYTES // 2)]
LONG_TEXTS = ["x" * (MESSAGE_BYTES + 1), "é" * (MESSAGE_BYTES // 2) + "x"]
RAWS = [b"", b"\xff" * MESSAGE_BYTES]
LONG_RAWS = [b"\xff" * (MESSAGE_BYTES + 1)]
DESCRIBED = [
    (b"\xff" * (MESSAGE_BYTES - 2), "é"),
    (b"", "x" * MESSAGE_BYTES),
    (b"\xff" * MESSAGE_BYTES, ""),
]
LONG_DESCRIBED = [
    (b"\xff" * (MESSAGE_BYTES - 1), "é"),
    (b"", "x" * (MESSAGE_BYTES + 1)),
    (b"\xff", "x" * MESSAGE_BYTES),
]


def _described(value: tuple[bytes, str]) -> bytes:
    body, description = value
    return with_description(body, description.encode())


def _all(values: Sequence[Any], code: IntEnum) -> list[tuple[Any, IntEnum]]:
    return [(value, code) for value in values]


_PEER, _IN_CHANNEL = SendPeerMessageError.INVALID_MESSAGE, SendChannelMessageError.INVALID_MESSAGE
_MESSAGE = ("MESSAGE_BYTES",)

MESSAGES = [
    Row(
        "text to a peer",
        _MESSAGE,
        TEXTS,
        _all(LONG_TEXTS, _PEER),
        lambda place, value: place.alice.send_peer(place.bob.user_id, value),
        lambda i, value: SendPeer(i, PEER, TEXT, value.encode()),
    ),
    Row(
        "raw to a peer",
        _MESSAGE,
        RAWS,
        _all(LONG_RAWS, _PEER),
        lambda place, value: place.alice.send_peer(place.bob.user_id, value),
        lambda i, value: SendPeer(i, PEER, RAW, value),
    ),
    Row(
        "raw with a description to a peer",
        _MESSAGE,
        DESCRIBED,
        _all(LONG_DESCRIBED, _PEER),
        lambda place, value: place.alice.send_peer(place.bob.user_id, value[0], description=value[1]),
        lambda i, value: SendPeer(i, PEER, RAW_DESCRIBED, _described(value)),
    ),
    Row(
        "text to a channel",
        _MESSAGE,
        TEXTS,
        _all(LONG_TEXTS, _IN_CHANNEL),
        lambda place, value: place.room.send(value),
        lambda i, value: Publish(i, CHANNEL, TEXT, value.encode()),
    ),
    Row(
        "raw to a channel",
        _MESSAGE,
        RAWS,
        _all(LONG_RAWS, _IN_CHANNEL),
        lambda place, value: place.room.send(value),
        lambda i, value: Publish(i, CHANNEL, RAW, value),
    ),
    Row(
        "raw with a description to a channel",
        _MESSAGE,
        DESCRIBED,
        _all(LONG_DESCRIBED, _IN_CHANNEL),
        lambda place, value: place.room.send(value[0], description=value[1]),
        lambda i, value: Publish(i, CHANNEL, RAW_DESCRIBED, _described(value)),
    ),
]

# --- Attributes -------------------------------------------------------------------------------------------------------

KEYS = ["k", "k" * ATTRIBUTE_KEY_BYTES, "é" * (ATTRIBUTE_KEY_BYTES // 2), "a key", string.punctuation]
BAD_KEYS = [
    "",
    "k" * (ATTRIBUTE_KEY_BYTES + 1),
    "é" * (ATTRIBUTE_KEY_BYTES // 2) + "k",
    *(f"a{character}b" for character in "\x00\t\n\r\x1b\x7f\x80\u200b\u2028"),
]
VALUES = ["v", "v" * ATTRIBUTE_VALUE_BYTES, "é" * (ATTRIBUTE_VALUE_BYTES // 2), "\x00\n"]
LONG_VALUES = ["v" * (ATTRIBUTE_VALUE_BYTES + 1), "é" * (ATTRIBUTE_VALUE_BYTES // 2) + "v"]


def full(count: int, size: int) -> dict[str, str]:
    """So many attributes, with keys and values of so many bytes together."""
    shares = {f"{n:02}": size // count for n in range(count)}
    shares["00"] += size % count
    return {key: "v" * (share - len(key)) for key, share in shares.items()}


def _attribute_sets(most: int, most_bytes: int) -> tuple[list[dict[str, str]], list[tuple[Any, IntEnum]]]:
    good: list[dict[str, str]] = [{key: "v"} for key in KEYS] + [{"k": value} for value in VALUES]
    good += [{f"{n}": "v" for n in range(most)}, full(most, most_bytes)]
    bad: list[tuple[Any, IntEnum]] = [({key: "v"}, ATTRIBUTES.INVALID_ARGUMENT) for key in BAD_KEYS]
    bad.append(({"k": ""}, ATTRIBUTES.INVALID_ARGUMENT))
    bad += [({"k": value}, ATTRIBUTES.SIZE_OVERFLOW) for value in LONG_VALUES]
    bad.append(({f"{n}": "v" for n in range(most + 1)}, ATTRIBUTES.SIZE_OVERFLOW))
    bad.append((full(most, most_bytes + 1), ATTRIBUTES.SIZE_OVERFLOW))
    return good, bad


def _key_lists(most: int) -> tuple[list[list[str]], list[tuple[Any, IntEnum]]]:
    good = [[key] for key in KEYS] + [[f"{n}" for n in range(most)]]
    bad: list[tuple[Any, IntEnum]] = [([key], ATTRIBUTES.INVALID_ARGUMENT) for key in BAD_KEYS]
    bad += [([], ATTRIBUTES.INVALID_ARGUMENT)]
    bad += [([f"{n}" for n in range(most + 1)], ATTRIBUTES.SIZE_OVERFLOW)]
    return good, bad


_OF_A_KEY = ("ATTRIBUTE_KEY_BYTES", "ATTRIBUTE_VALUE_BYTES")
_OF_USERS = (*_OF_A_KEY, "USER_ATTRIBUTES", "USER_ATTRIBUTES_BYTES")
_OF_CHANNELS = (*_OF_A_KEY, "CHANNEL_ATTRIBUTES", "CHANNEL_ATTRIBUTES_BYTES")
_USER_SETS = _attribute_sets(USER_ATTRIBUTES, USER_ATTRIBUTES_BYTES)
_CHANNEL_SETS = _attribute_sets(CHANNEL_ATTRIBUTES, CHANNEL_ATTRIBUTES_BYTES)
_USER_KEYS = _key_lists(USER_ATTRIBUTES)
_CHANNEL_KEYS = _key_lists(CHANNEL_ATTRIBUTES)


SETS = [
    Row(
        "attributes of a user",
        _OF_USERS,
        *_USER_SETS,
        lambda place, value: place.alice.set_attributes(value),
        SetAttributes,
    ),
    Row(
        "attributes of a channel",
        _OF_CHANNELS,
        *_CHANNEL_SETS,
        lambda place, value: place.alice.set_channel_attributes(place.room.id, value),
        lambda i, value: SetChannelAttributes(i, CHANNEL, value),
    ),
]
"""What replaces all attributes."""


def _changes(most: int, most_bytes: int) -> tuple[list[dict[str, str]], list[tuple[Any, IntEnum]]]:
    """Changes of attributes that are as many and as large as can be."""
    there = full(most, most_bytes)
    good = [{"00": there["00"]}, {"00": "v"}, {key: "v" * len(value) for key, value in there.items()}]
    bad: list[tuple[Any, IntEnum]] = [
        ({"00": there["00"] + "v"}, ATTRIBUTES.SIZE_OVERFLOW),
        ({"new": "v"}, ATTRIBUTES.SIZE_OVERFLOW),
        ({"00": "v" * ATTRIBUTE_VALUE_BYTES}, ATTRIBUTES.SIZE_OVERFLOW),
    ]
    return good, bad


_FULL_USER = full(USER_ATTRIBUTES, USER_ATTRIBUTES_BYTES)
_FULL_CHANNEL = full(CHANNEL_ATTRIBUTES, CHANNEL_ATTRIBUTES_BYTES)
UPDATES = [
    Row(
        "attributes of a user that has none are added",
        _OF_USERS,
        *_USER_SETS,
        lambda place, value: place.alice.update_attributes(value),
        UpdateAttributes,
        before=(lambda place: place.alice.clear_attributes(), lambda i: SetAttributes(i, {})),
    ),
    Row(
        "attributes of a channel that has none are added",
        _OF_CHANNELS,
        *_CHANNEL_SETS,
        lambda place, value: place.alice.update_channel_attributes(place.room.id, value),
        lambda i, value: UpdateChannelAttributes(i, CHANNEL, value),
        before=(
            lambda place: place.alice.clear_channel_attributes(place.room.id),
            lambda i: SetChannelAttributes(i, CHANNEL, {}),
        ),
    ),
    Row(
        "attributes of a user that has as many as can be are changed",
        _OF_USERS,
        *_changes(USER_ATTRIBUTES, USER_ATTRIBUTES_BYTES),
        lambda place, value: place.alice.update_attributes(value),
        UpdateAttributes,
        before=(
            lambda place: place.alice.set_attributes(_FULL_USER),
            lambda i: SetAttributes(i, _FULL_USER),
        ),
    ),
    Row(
        "attributes of a channel that has as many as can be are changed",
        _OF_CHANNELS,
        *_changes(CHANNEL_ATTRIBUTES, CHANNEL_ATTRIBUTES_BYTES),
        lambda place, value: place.alice.update_channel_attributes(place.room.id, value),
        lambda i, value: UpdateChannelAttributes(i, CHANNEL, value),
        before=(
            lambda place: place.alice.set_channel_attributes(place.room.id, _FULL_CHANNEL),
            lambda i: SetChannelAttributes(i, CHANNEL, _FULL_CHANNEL),
        ),
    ),
]
"""What changes some of them; the others stay."""

KEY_LISTS = [
    Row(
        "keys of a user's attributes to be deleted",
        _OF_USERS,
        *_USER_KEYS,
        lambda place, value: place.alice.delete_attributes(value),
        lambda i, value: UpdateAttributes(i, deleted=value),
    ),
    Row(
        "keys of a user's attributes to be read",
        _OF_USERS,
        *_USER_KEYS,
        lambda place, value: place.alice.get_attributes(place.alice.user_id, value),
        lambda i, value: GetAttributes(i, "alice", value),
    ),
    Row(
        "keys of a channel's attributes to be deleted",
        _OF_CHANNELS,
        *_CHANNEL_KEYS,
        lambda place, value: place.alice.delete_channel_attributes(place.room.id, value),
        lambda i, value: UpdateChannelAttributes(i, CHANNEL, deleted=value),
    ),
    Row(
        "keys of a channel's attributes to be read",
        _OF_CHANNELS,
        *_CHANNEL_KEYS,
        lambda place, value: place.alice.get_channel_attributes(place.room.id, value),
        lambda i, value: GetChannelAttributes(i, CHANNEL, value),
    ),
]

# --- Lists ------------------------------------------------------------------------------------------------------------


def _names(count: int) -> list[str]:
    return [f"{n}".rjust(USER_ID_BYTES, "-") for n in range(count)]


LISTS = [
    Row(
        "users to subscribe to",
        ("PRESENCE_SUBSCRIPTIONS",),
        [_names(1), _names(PRESENCE_SUBSCRIPTIONS)],
        [
            ([], PeerSubscriptionStatusError.INVALID_ARGUMENT),
            (_names(PRESENCE_SUBSCRIPTIONS + 1), PeerSubscriptionStatusError.OVERFLOW),
        ],
        lambda place, value: place.alice.subscribe_presence(value),
        Subscribe,
        before=(
            lambda place: place.alice.unsubscribe_presence([place.bob.user_id]),
            lambda i: Unsubscribe(i, [PEER]),
        ),
    ),
    Row(
        "users to unsubscribe from",
        ("PRESENCE_SUBSCRIPTIONS",),
        [_names(1), _names(PRESENCE_SUBSCRIPTIONS)],
        [
            ([], PeerSubscriptionStatusError.INVALID_ARGUMENT),
            (_names(PRESENCE_SUBSCRIPTIONS + 1), PeerSubscriptionStatusError.OVERFLOW),
        ],
        lambda place, value: place.alice.unsubscribe_presence(value),
        Unsubscribe,
    ),
    Row(
        "users asked about",
        ("PRESENCE_QUERY_USERS",),
        [_names(1), _names(PRESENCE_QUERY_USERS)],
        [([], QUERY.INVALID_ARGUMENT), (_names(PRESENCE_QUERY_USERS + 1), QUERY.INVALID_ARGUMENT)],
        lambda place, value: place.alice.query_presence(value),
        QueryOnline,
    ),
    Row(
        "channels whose members are counted",
        ("MEMBER_COUNT_CHANNELS",),
        [_names(1), _names(MEMBER_COUNT_CHANNELS)],
        [([], COUNT.INVALID_ARGUMENT), (_names(MEMBER_COUNT_CHANNELS + 1), COUNT.EXCEED_LIMIT)],
        lambda place, value: place.alice.member_counts(value),
        GetMemberCounts,
    ),
    Row(
        "page of the history",
        ("HISTORY_PAGE_SIZES",),
        list(HISTORY_PAGE_SIZES),
        _all([0, 1, 19, 21, 99, 101, 1000], QUERY.INVALID_ARGUMENT),
        lambda place, value: place.alice.history(channel=place.room.id, limit=value),
        lambda i, value: QueryHistory(i, destination=CHANNEL, channel=True, limit=value),
    ),
]

ROWS = [*IDS, *MESSAGES, *SETS, *UPDATES, *KEY_LISTS, *LISTS]
