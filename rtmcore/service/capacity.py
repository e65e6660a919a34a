"""The sizes and counts of a server that its operator may set, what each may be, and which of them a welcome tells."""

from collections.abc import Mapping
from typing import Final

import attrs

from rtmcore.figures import DOCUMENTED, SIZES_MAX
from rtmcore.limits import (
    ALL_CHANNEL_ATTRIBUTES_BYTES,
    ALL_INBOXES_BYTES,
    BANS,
    CHANNEL_ATTRIBUTES_GRACE,
    CHANNEL_ATTRIBUTES_GRACE_MAX,
    CHANNEL_ID_BYTES,
    CHANNEL_MEMBERS_LISTED,
    CHANNEL_MEMBERS_LISTED_MAX,
    CHANNELS_WITH_ATTRIBUTES,
    DATA_FRAMES_KEPT,
    DATA_FRAMES_KEPT_MAX,
    FRAME_BYTES,
    HISTORY_BYTES,
    HISTORY_DAYS,
    INBOX_BYTES,
    INBOX_MESSAGES,
    INBOX_WINDOW_BYTES,
    INBOX_WINDOW_BYTES_MAX,
    INBOX_WINDOW_MESSAGES,
    INBOX_WINDOW_MESSAGES_MAX,
    KEPT_DAYS_MAX,
    MEDIA_ALL_BYTES,
    MEDIA_APP_BYTES,
    MEDIA_BYTES,
    MEDIA_BYTES_MAX,
    MEDIA_DAYS,
    MEDIA_TRANSFERS,
    MEDIA_TRANSFERS_MAX,
    MEDIA_UNFINISHED,
    MEMBER_EVENTS_MAX,
    OFFLINE_DAYS,
    OFFLINE_MESSAGES,
    PACKETS_PER_FRAME,
    PAGE_BYTES,
    REPLAY_BYTES_MAX,
    REPLAY_MAX,
    REPLAY_MAX_CONFIGURED,
    REPLAY_WINDOW,
    RESULTS_REMEMBERED,
    RESULTS_REMEMBERED_MAX,
    ROOM_PARTICIPANTS,
    STORED_BYTES,
    STORED_BYTES_PER_SENDER,
    STORED_MESSAGES_PER_SENDER_DAY,
    STORED_PAGE_MESSAGES,
    USER_ID_BYTES,
)

_MILLISECONDS: Final = 1000
_UNBOUNDED: Final = 2**53 - 1
"""Where nothing but the machine bounds a figure; every program can read it as a number."""


@attrs.frozen
class Figure:
    """A figure that an operator may set.

    Attributes:
        usual: What it is where nothing else is said.
        most: What it may be at most; at least it is 1.
        what: What it limits, for documents.
        told: Whether the welcome tells it. Clients have no use for the others.
    """

    usual: int
    most: int
    what: str
    told: bool = True


def _shared(name: str, what: str) -> Figure:
    """One that clients keep as well."""
    return Figure(getattr(DOCUMENTED, name), SIZES_MAX[name], what)


def _own(usual: int, what: str) -> Figure:
    """One that is the server's own business."""
    return Figure(usual, _UNBOUNDED, what, told=False)


FIGURES: Final[dict[str, Figure]] = {
    "message": _shared("message", "Bytes of a message, with its description"),
    "in_flight": _shared("in_flight", "Requests of one client that wait for their answers"),
    "results": Figure(
        RESULTS_REMEMBERED,
        RESULTS_REMEMBERED_MAX,
        "Requests of one client whose results are kept for repeats",
    ),
    "window": Figure(
        INBOX_WINDOW_MESSAGES,
        INBOX_WINDOW_MESSAGES_MAX,
        "Peer messages sent to a client but not acknowledged",
    ),
    "window_bytes": Figure(INBOX_WINDOW_BYTES, INBOX_WINDOW_BYTES_MAX, "The same in bytes"),
    "channels": _shared("channels", "Channels that one client is in at the same time"),
    "members": Figure(
        CHANNEL_MEMBERS_LISTED,
        CHANNEL_MEMBERS_LISTED_MAX,
        "Members named in a list; a larger channel answers with a random choice",
    ),
    "member_events": Figure(
        MEMBER_EVENTS_MAX,
        CHANNEL_MEMBERS_LISTED_MAX,
        "Members above which joins and leaves are not told; at most `members`",
    ),
    "replay": Figure(
        REPLAY_MAX, REPLAY_MAX_CONFIGURED, "Messages of a channel replayed to a client that comes back"
    ),
    "replay_ms": Figure(
        int(REPLAY_WINDOW * _MILLISECONDS),
        int(REPLAY_WINDOW * _MILLISECONDS),
        "How old they may be, in milliseconds",
    ),
    "subscriptions": _shared("subscriptions", "Users whose online state one client has subscribed to"),
    "attributes": _shared("attributes", "Attributes of a user"),
    "attributes_bytes": _shared("attributes_bytes", "Bytes of their keys and values together"),
    "attribute_key": _shared("attribute_key", "Bytes of a key, of users and of channels"),
    "attribute_value": _shared("attribute_value", "Bytes of a value, of users and of channels"),
    "channel_attributes": _shared("channel_attributes", "Attributes of a channel"),
    "channel_attributes_bytes": _shared(
        "channel_attributes_bytes", "Bytes of their keys and values together"
    ),
    "channel_attributes_grace_ms": Figure(
        int(CHANNEL_ATTRIBUTES_GRACE * _MILLISECONDS),
        int(CHANNEL_ATTRIBUTES_GRACE_MAX * _MILLISECONDS),
        "Milliseconds that the attributes of an empty channel are kept",
    ),
    "count_channels": _shared("count_channels", "Channels in one question for member counts"),
    "query_users": _shared("query_users", "Users in one question for online states"),
    "offline_messages": Figure(
        OFFLINE_MESSAGES, INBOX_MESSAGES, "Messages kept for a user who is away; a newer one drops the oldest"
    ),
    "offline_days": Figure(OFFLINE_DAYS, KEPT_DAYS_MAX, "Days that they are kept"),
    "history_days": Figure(HISTORY_DAYS, KEPT_DAYS_MAX, "Days that the history of messages goes back"),
    "invitation_content": _shared("invitation_content", "Bytes of the content of a call invitation"),
    "invitation_response": _shared("invitation_response", "Bytes of an answer to one"),
    "participants": Figure(ROOM_PARTICIPANTS, ROOM_PARTICIPANTS, "Participants of a room"),
    "track": _shared("track", "Bytes of the name of a data track"),
    "frames_kept": Figure(
        DATA_FRAMES_KEPT,
        DATA_FRAMES_KEPT_MAX,
        "Data frames that wait for one receiver; a newer one drops the oldest",
    ),
    "file": Figure(MEDIA_BYTES, MEDIA_BYTES_MAX, "Bytes of a file or image"),
    "file_days": Figure(MEDIA_DAYS, KEPT_DAYS_MAX, "Days that it is kept"),
    "transfers": Figure(
        MEDIA_TRANSFERS, MEDIA_TRANSFERS_MAX, "Uploads and downloads of one user at the same time"
    ),
    "inbox_messages": _own(INBOX_MESSAGES, "Messages to one user that are not acknowledged"),
    "inbox_bytes": _own(INBOX_BYTES, "Bytes of them"),
    "all_inboxes_bytes": _own(ALL_INBOXES_BYTES, "Bytes of the messages to all users together"),
    "stored_bytes": _own(STORED_BYTES, "Bytes of all offline messages"),
    "stored_bytes_per_sender": _own(STORED_BYTES_PER_SENDER, "Bytes of offline messages of one sender"),
    "stored_messages_per_sender_day": _own(
        STORED_MESSAGES_PER_SENDER_DAY, "Offline messages of one sender in a day of UTC"
    ),
    "history_bytes": _own(HISTORY_BYTES, "Bytes of the history of one app; a newer message drops the oldest"),
    "channels_with_attributes": _own(CHANNELS_WITH_ATTRIBUTES, "Channels that have attributes"),
    "all_channel_attributes_bytes": _own(
        ALL_CHANNEL_ATTRIBUTES_BYTES, "Bytes of the attributes of all channels"
    ),
    "bans": _own(BANS, "Users that are banned"),
    "unfinished_uploads": _own(MEDIA_UNFINISHED, "Uploads of one user that are begun and not finished"),
    "app_files_bytes": _own(MEDIA_APP_BYTES, "Bytes of the files of one app"),
    "all_files_bytes": _own(MEDIA_ALL_BYTES, "Bytes of all files"),
}
"""What an operator may set, by name: sizes in bytes, names with ``_ms`` in milliseconds, the rest counts and days."""

FIXED: Final[dict[str, int]] = {
    "frame": FRAME_BYTES,
    "packets": PACKETS_PER_FRAME,
    "user_id": USER_ID_BYTES,
    "channel_id": CHANNEL_ID_BYTES,
    "page": STORED_PAGE_MESSAGES,
    "page_bytes": PAGE_BYTES,
}
"""What a welcome tells besides, and nobody can set: peers rely on it before they have read a welcome."""


def explain_invalid_limits(limits: Mapping[str, int]) -> list[str]:
    """Say what is wrong with the limits of a configuration, in one sentence each; nothing where all is well.

    Args:
        limits: Figures by the names of `FIGURES`, in place of the usual ones.
    """
    wrong = [sentence for name, value in limits.items() if (sentence := _explain(name, value))]
    if wrong:
        return wrong
    known = in_force(limits)
    wrong = [
        f"limits.{small} is {known[small]}, which is above limits.{large}, {known[large]}."
        for small, large in _WITHIN
        if known[small] > known[large]
    ]
    replayed = known["replay"] * known["message"]
    if replayed > REPLAY_BYTES_MAX:
        wrong.append(
            f"limits.replay times limits.message is {replayed} bytes; one connection takes {REPLAY_BYTES_MAX} at once."
        )
    return wrong


_WITHIN: Final = (
    ("member_events", "members"),
    ("in_flight", "results"),
    ("message", "inbox_bytes"),
    ("inbox_bytes", "all_inboxes_bytes"),
    ("offline_messages", "inbox_messages"),
    ("stored_bytes_per_sender", "stored_bytes"),
    ("file", "app_files_bytes"),
    ("app_files_bytes", "all_files_bytes"),
)
"""The first of each pair is not above the second."""


def _explain(name: str, value: int) -> str | None:
    if name in FIXED:
        return f"limits.{name} is {FIXED[name]} for every server, and cannot be set."
    figure = FIGURES.get(name)
    if figure is None:
        return f"There is no limits.{name}; there are {', '.join(FIGURES)}."
    if value < 1:
        return f"limits.{name} is {value}; it is at least 1."
    if value > figure.most:
        return f"limits.{name} is {value}; it is at most {figure.most}."
    return None


def in_force(limits: Mapping[str, int]) -> dict[str, int]:
    """All figures by name, those of a configuration in place of the usual ones."""
    return {**{name: figure.usual for name, figure in FIGURES.items()}, **limits}


def told(limits: Mapping[str, int]) -> dict[str, int]:
    """What a welcome tells of sizes and counts.

    Args:
        limits: Figures by the names of `FIGURES`, in place of the usual ones.
    """
    return {**FIXED, **{name: value for name, value in in_force(limits).items() if FIGURES[name].told}}
