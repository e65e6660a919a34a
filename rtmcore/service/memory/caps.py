"""How much a memory engine may hold."""

from collections.abc import Mapping
from typing import Final

import attrs

from rtmcore.limits import (
    ALL_CHANNEL_ATTRIBUTES_BYTES,
    ALL_INBOXES_BYTES,
    ALL_POSITIONS_REMEMBERED,
    ALL_WINDOWS_BYTES,
    BANS,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    CHANNEL_ATTRIBUTES_GRACE,
    CHANNEL_MEMBERS_LISTED,
    CHANNELS_JOINED,
    CHANNELS_REMEMBERED,
    CHANNELS_WITH_ATTRIBUTES,
    DAY,
    HISTORY_BYTES,
    HISTORY_HELD_BYTES,
    HISTORY_SECONDS,
    INBOX_BYTES,
    INBOX_MESSAGES,
    MEMBER_EVENTS_MAX,
    NAMES_REMEMBERED,
    OFFLINE_MESSAGES,
    OFFLINE_SECONDS,
    POSITIONS_REMEMBERED,
    PRESENCE_SUBSCRIPTIONS,
    REPLAY_MAX,
    REPLAY_WINDOW,
    RESULTS_REMEMBERED,
    ROOM_PARTICIPANTS,
    STORED_BYTES,
    STORED_BYTES_PER_SENDER,
    STORED_MESSAGES_PER_SENDER_DAY,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
)


@attrs.frozen(kw_only=True)
class Caps:
    """The caps of an engine; the defaults are those of `limits`, tests and small machines take less.

    Attributes:
        inbox_messages: Messages in one inbox while not delivered.
        inbox_bytes: Bytes of their bodies.
        all_inboxes_bytes: Bytes in all inboxes, with an overhead for each entry.
        offline_messages: Messages kept for one offline receiver; a newer one drops the oldest.
        offline_seconds: Seconds that they are kept.
        stored_bytes: Bytes stored in all.
        stored_bytes_per_sender: Bytes stored on behalf of one sender.
        stored_messages_per_sender_day: Messages stored on behalf of one sender in a day of UTC.
        results: Results of one client instance that are kept for repeats, and requests of it that may wait.
        channels_joined: Channels that one session is in.
        room_participants: Members of one room.
        presence_subscriptions: Users whose presence one session has subscribed to.
        member_events: Members above which joins and leaves are not announced.
        members_listed: Members named in a list.
        replay: Messages of one channel kept for those who come back.
        replay_window: Seconds that they are kept for them.
        names_remembered: Names without a session whose last fence is remembered.
        channels_remembered: Channels without members whose log is remembered.
        positions: Entries of one channel whose positions are remembered at least.
        all_positions: The same in all channels.
        all_windows_bytes: Bytes of bodies in the windows of all channels.
        bans: Names that are banned.
        user_attributes: Attributes of one user.
        user_attributes_bytes: UTF-8 bytes of their keys and values together.
        channel_attributes: Attributes of one channel.
        channel_attributes_bytes: UTF-8 bytes of their keys and values together.
        channel_attributes_grace: Seconds that the attributes of a channel without members are kept.
        channels_with_attributes: Channels that have attributes.
        all_channel_attributes_bytes: Bytes of the attributes of all channels.
        history_bytes: Bytes in the history of one app; a newer message drops the oldest.
        history_seconds: Seconds that the history goes back.
        history_held_bytes: Bytes of messages to channels that wait until the history is on the disk.
    """

    inbox_messages: int = INBOX_MESSAGES
    inbox_bytes: int = INBOX_BYTES
    all_inboxes_bytes: int = ALL_INBOXES_BYTES
    offline_messages: int = OFFLINE_MESSAGES
    offline_seconds: int = OFFLINE_SECONDS
    stored_bytes: int = STORED_BYTES
    stored_bytes_per_sender: int = STORED_BYTES_PER_SENDER
    stored_messages_per_sender_day: int = STORED_MESSAGES_PER_SENDER_DAY
    results: int = RESULTS_REMEMBERED
    channels_joined: int = CHANNELS_JOINED
    room_participants: int = ROOM_PARTICIPANTS
    presence_subscriptions: int = PRESENCE_SUBSCRIPTIONS
    member_events: int = MEMBER_EVENTS_MAX
    members_listed: int = CHANNEL_MEMBERS_LISTED
    replay: int = REPLAY_MAX
    replay_window: float = REPLAY_WINDOW
    names_remembered: int = NAMES_REMEMBERED
    channels_remembered: int = CHANNELS_REMEMBERED
    positions: int = POSITIONS_REMEMBERED
    all_positions: int = ALL_POSITIONS_REMEMBERED
    all_windows_bytes: int = ALL_WINDOWS_BYTES
    bans: int = BANS
    user_attributes: int = USER_ATTRIBUTES
    user_attributes_bytes: int = USER_ATTRIBUTES_BYTES
    channel_attributes: int = CHANNEL_ATTRIBUTES
    channel_attributes_bytes: int = CHANNEL_ATTRIBUTES_BYTES
    channel_attributes_grace: float = CHANNEL_ATTRIBUTES_GRACE
    channels_with_attributes: int = CHANNELS_WITH_ATTRIBUTES
    all_channel_attributes_bytes: int = ALL_CHANNEL_ATTRIBUTES_BYTES
    history_bytes: int = HISTORY_BYTES
    history_seconds: int = HISTORY_SECONDS
    history_held_bytes: int = HISTORY_HELD_BYTES


_RENAMED: Final = {
    "channels": "channels_joined",
    "participants": "room_participants",
    "subscriptions": "presence_subscriptions",
    "attributes": "user_attributes",
    "attributes_bytes": "user_attributes_bytes",
    "members": "members_listed",
}
_SCALED: Final = {
    "replay_ms": ("replay_window", 1 / 1000),
    "channel_attributes_grace_ms": ("channel_attributes_grace", 1 / 1000),
    "offline_days": ("offline_seconds", DAY),
    "history_days": ("history_seconds", DAY),
}


def caps_of(limits: Mapping[str, int]) -> Caps:
    """The caps of an engine whose server is configured to other limits.

    Args:
        limits: By the names of `rtmcore.service.capacity.FIGURES`; those that are no matter of an engine are left out.
    """
    known = {each.name for each in attrs.fields(Caps)}
    caps: dict[str, float] = {}
    for name, value in limits.items():
        if name in _SCALED:
            cap, factor = _SCALED[name]
            caps[cap] = value * factor
        elif (cap := _RENAMED.get(name, name)) in known:
            caps[cap] = value
    return Caps(**caps)  # type: ignore[arg-type]
