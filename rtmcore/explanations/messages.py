"""Codes of messages and channels."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from rtmcore.codes import (
    ChannelMemberCountError,
    CreateChannelError,
    GetMembersError,
    JoinChannelError,
    LeaveChannelError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.explanations.model import (
    Explanation,
    closed,
    not_logged_in,
    reserved,
    server_failed,
    size,
    succeeded,
    timed_out,
    too_often,
)
from rtmcore.limits import (
    CHANNEL_ID_BYTES,
    CHANNEL_MEMBERS_LISTED,
    CHANNELS_JOINED,
    JOIN_RATE,
    JOIN_SAME_CHANNEL_RATE,
    MEMBER_COUNT_CHANNELS,
    MEMBER_COUNT_RATE,
    MEMBERS_RATE,
    MESSAGE_BYTES,
    OFFLINE_DAYS,
    OFFLINE_MESSAGES,
    OPERATION_TIMEOUT,
    SEND_RATE,
    SEND_TIMEOUT,
    USER_ID_BYTES,
)

_TOGETHER: Final = ", messages to users and to channels counted together"
_SCOPE: Final = " Or the scopes of the token do not allow it; then another try changes nothing."
_NO_CHANNEL: Final = (
    f"It is empty, longer than {CHANNEL_ID_BYTES} bytes, has characters outside the 89 that are allowed, or is the "
    'word "null".'
)
_BODY: Final = (
    f"It is neither text nor bytes, the body with its description is larger than {size(MESSAGE_BYTES)}, or the "
    "text has characters that UTF-8 cannot have."
)
_SMALLER: Final = (
    "Send less, or in several messages. Sizes count in bytes of UTF-8, in which one character may have four."
)

_SEND_PEER: Final = {
    "OK": succeeded("The client of the receiver has acknowledged the message."),
    "FAILURE": server_failed("`send_peer`", _SCOPE),
    "TIMEOUT": timed_out(
        "`send_peer`",
        SEND_TIMEOUT,
        "The message may still arrive. Repeat it only if receiving it twice does no harm, or let the application's "
        "own answer decide.",
    ),
    "PEER_UNREACHABLE": Explanation(
        "The receiver is offline, and the message is not stored: it will not be delivered.",
        "He is not logged in, or was silent for 30 s, and the message was sent without `offline=True`.",
        "Send with `offline=True` to have it stored, or subscribe to his presence and send when he is back.",
    ),
    "CACHED_BY_SERVER": Explanation(
        "The receiver is offline; the message is stored and delivered when he logs in.",
        f"It was sent with `offline=True`. The newest {OFFLINE_MESSAGES} are kept for each user, for {OFFLINE_DAYS} "
        "days or the time to live of the message.",
        "Nothing: this is a result of `send_peer`, not an error.",
    ),
    "TOO_OFTEN": too_often("`send_peer`", SEND_RATE, together=_TOGETHER),
    "INVALID_USER_ID": Explanation(
        "The receiver's user id is not possible.",
        f"It is empty, longer than {USER_ID_BYTES} bytes, not a string, or has characters outside the 89 that "
        "are allowed.",
        "Use the id that he logs in with.",
    ),
    "INVALID_MESSAGE": Explanation("The message cannot be sent.", _BODY, _SMALLER),
    "INCOMPATIBLE_MESSAGE": Explanation(
        "The receiver's client does not know this kind of message, so he did not get it.",
        "His version of the library is older than the kind of the message.",
        "Send it as text or bytes, or have the receiver update.",
    ),
    "NOT_INITIALIZED": closed("`send_peer`"),
    "NOT_LOGGED_IN": not_logged_in("`send_peer`"),
}

_SEND_CHANNEL: Final = {
    "OK": succeeded("The server has the message, and passes it on to the other members."),
    "FAILURE": server_failed("`Channel.send`", _SCOPE),
    "TIMEOUT": timed_out(
        "`Channel.send`",
        SEND_TIMEOUT,
        "The members may have it. Repeat it only if receiving it twice does no harm.",
    ),
    "TOO_OFTEN": too_often("`Channel.send`", SEND_RATE, together=_TOGETHER),
    "INVALID_MESSAGE": Explanation("The message cannot be sent.", _BODY, _SMALLER),
    "NOT_IN_CHANNEL": Explanation(
        "You are not a member of the channel, so the message was not sent.",
        "It was not joined, was left, or was lost while reconnecting, which `ChannelLost` tells.",
        "Call `join()` first. To send without being a member use `Publisher.publish`.",
    ),
    "NOT_INITIALIZED": closed("`Channel.send`"),
    "NOT_LOGGED_IN": not_logged_in("`Channel.send`"),
}

_CREATE_CHANNEL: Final = {
    "OK": succeeded("The channel object was made; nothing was sent."),
    "INVALID_ARGUMENT": Explanation("The channel id is not possible.", _NO_CHANNEL, "Choose another id."),
    "NOT_INITIALIZED": closed("`Client.channel`"),
}

_JOIN: Final = {
    "OK": succeeded("You are a member of the channel."),
    "FAILURE": server_failed("`join`"),
    "REJECTED": Explanation(
        "The server does not let you into this channel.",
        "The scopes of your token do not name it. In the documents the number is reserved.",
        "Have a token made whose scope `join` allows the channel.",
    ),
    "INVALID_ARGUMENT": Explanation(
        "The channel id is not possible.", _NO_CHANNEL, "Choose another id; the same call never succeeds."
    ),
    "TIMEOUT": timed_out(
        "`join`",
        OPERATION_TIMEOUT,
        "Call `join()` again: if the first one was carried out after all, the client has undone it.",
    ),
    "EXCEED_LIMIT": Explanation(
        "You are in as many channels as a client may be.",
        f"{CHANNELS_JOINED} channels are joined or being joined.",
        "Leave one that is not needed, or log in a second client by another user id.",
    ),
    "ALREADY_JOINED": Explanation(
        "You are in the channel already, or a join of it is under way.",
        "`join()` was called twice, or by two threads. After a reconnect the client rejoins by itself.",
        "Nothing: go on as a member. `channel.joined` says whether you are one.",
    ),
    "TOO_OFTEN": too_often("`join`", JOIN_RATE, together=", of all channels"),
    "JOIN_SAME_CHANNEL_TOO_OFTEN": too_often("`join`", JOIN_SAME_CHANNEL_RATE, together=" for one channel"),
    "NOT_INITIALIZED": closed("`join`"),
    "NOT_LOGGED_IN": not_logged_in("`join`"),
    "ABORTED_BY_LEAVE": Explanation(
        "The join was given up.",
        "`leave()` was called for the channel while its join was under way.",
        "Call `join()` again if you still want to be in it.",
    ),
    "ALREADY_JOINED_CHANNEL_OF_SAME_ID": Explanation(
        "Another object of this client is in the channel of that id.",
        "`join()` was called on an object that has not joined, while another one of the same id has. All objects of "
        "one client and id are one channel.",
        "Use the object that joined, or any other of the same id: they are equal.",
    ),
}

_LEAVE: Final = {
    "OK": succeeded("You are no member of the channel any more."),
    "FAILURE": server_failed("`leave`", " A time-out has this code too, as none is documented for it."),
    "REJECTED": reserved("a leave that the server refuses"),
    "NOT_IN_CHANNEL": Explanation(
        "There is nothing to leave.",
        "The channel was not joined, or was left or lost already.",
        "Nothing, if not being a member is what you want.",
    ),
    "KICKED": Explanation(
        "There is nothing to leave: you were taken out of the channel before.",
        "Whoever runs the service took you out, which `ChannelLost` told with the reason KICKED.",
        "Nothing: you are out. Whether you may join again is up to them.",
    ),
    "NOT_INITIALIZED": closed("`leave`"),
    "NOT_LOGGED_IN": not_logged_in("`leave`"),
}

_MEMBERS: Final = {
    "OK": succeeded(f"The members are told; of a larger channel {CHANNEL_MEMBERS_LISTED}, chosen at random."),
    "FAILURE": server_failed("`members`"),
    "REJECTED": reserved("a list that the server refuses to give"),
    "TIMEOUT": timed_out("`members`", OPERATION_TIMEOUT, "Ask again: asking changes nothing."),
    "TOO_OFTEN": too_often("`members`", MEMBERS_RATE),
    "NOT_IN_CHANNEL": Explanation(
        "Only members may ask who the members are.",
        "The channel was not joined, was left, or was lost while reconnecting.",
        "Join it first, or ask for the number alone with `member_counts`, which needs no membership.",
    ),
    "NOT_INITIALIZED": closed("`members`"),
    "NOT_LOGGED_IN": not_logged_in("`members`"),
}

_COUNTS: Final = {
    "OK": succeeded("The numbers of members are told; 0 for a channel that does not exist."),
    "FAILURE": server_failed("`member_counts`"),
    "INVALID_ARGUMENT": Explanation(
        "There is no question in the call.",
        "No channel is named, or one of the names is not a channel id.",
        "Name the channels in a list, each by an id of the documented characters.",
    ),
    "TOO_OFTEN": too_often("`member_counts`", MEMBER_COUNT_RATE),
    "TIMEOUT": timed_out("`member_counts`", OPERATION_TIMEOUT, "Ask again: asking changes nothing."),
    "EXCEED_LIMIT": Explanation(
        "Too many channels are named in one call.",
        f"More than {MEMBER_COUNT_CHANNELS} were given.",
        "Ask in several calls, one a second. Members of a channel are told its number by `MemberCountChanged`.",
    ),
    "NOT_INITIALIZED": closed("`member_counts`"),
    "NOT_LOGGED_IN": not_logged_in("`member_counts`"),
}

EXPLANATIONS: Final[Mapping[type[IntEnum], Mapping[str, Explanation]]] = {
    SendPeerMessageError: _SEND_PEER,
    SendChannelMessageError: _SEND_CHANNEL,
    CreateChannelError: _CREATE_CHANNEL,
    JoinChannelError: _JOIN,
    LeaveChannelError: _LEAVE,
    GetMembersError: _MEMBERS,
    ChannelMemberCountError: _COUNTS,
}
"""By family and name of the code."""
