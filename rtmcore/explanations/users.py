"""Codes of attributes, presence, call invitations and media."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from rtmcore.codes import (
    AttributeOperationError,
    CancelMediaError,
    DownloadMediaError,
    InvitationApiCallError,
    LocalInvitationError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RemoteInvitationError,
    UploadMediaError,
)
from rtmcore.explanations.model import (
    Explanation,
    amount,
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
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    CHANNEL_ATTRIBUTES,
    CHANNEL_ATTRIBUTES_BYTES,
    CHANNEL_ATTRIBUTES_READ_RATE,
    CHANNEL_ATTRIBUTES_WRITE_RATE,
    HISTORY_RATE,
    INVITATION_ACCEPT_TIMEOUT,
    INVITATION_ACKNOWLEDGE_TIMEOUT,
    INVITATION_CONTENT_BYTES,
    INVITATION_EXPIRE_AFTER,
    MEDIA_BYTES,
    MEDIA_DAYS,
    MEDIA_IDLE_TIMEOUT,
    MEDIA_TRANSFERS,
    OPERATION_TIMEOUT,
    PEERS_SUBSCRIBED_RATE,
    PRESENCE_QUERY_RATE,
    PRESENCE_QUERY_USERS,
    PRESENCE_SUBSCRIBE_RATE,
    PRESENCE_SUBSCRIPTIONS,
    PRESENCE_TIMEOUT,
    STORED_RATE,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
)

_ATTRIBUTE_CALLS: Final = "The call on attributes"
_SCOPE_ATTR: Final = " Or the scope `attr` of the token does not permit it; then another try changes nothing."
_SCOPE_PRESENCE: Final = (
    " Or the scope `presence` of the token does not permit it; then another try changes nothing."
)
_AGAIN: Final = "Ask again: asking changes nothing."

_ATTRIBUTES: Final = {
    "OK": succeeded("The attributes were written or read."),
    "NOT_READY": Explanation(
        "The attributes were not ready yet.",
        "Never: the documents call the number deprecated, and nothing here sends it.",
        "Nothing. Whoever meets it talks to another server.",
    ),
    "FAILURE": server_failed(_ATTRIBUTE_CALLS, _SCOPE_ATTR),
    "INVALID_ARGUMENT": Explanation(
        "A key, a value or an id in the call is not possible.",
        f"A key is empty, longer than {ATTRIBUTE_KEY_BYTES} bytes or has invisible characters; a value is empty or not "
        "a string; the user or channel is no id; or the call names nothing.",
        "Correct what the message names. To empty an attribute, delete it: an empty value is none.",
    ),
    "SIZE_OVERFLOW": Explanation(
        "There would be too much; nothing was written.",
        f"A value is larger than {size(ATTRIBUTE_VALUE_BYTES)}; a user would have more than {USER_ATTRIBUTES} "
        f"attributes or {size(USER_ATTRIBUTES_BYTES)}, keys included; or a channel more than {CHANNEL_ATTRIBUTES} or "
        f"{size(CHANNEL_ATTRIBUTES_BYTES)}.",
        "Delete what is not needed, or keep large values elsewhere and write where they are.",
    ),
    "TOO_OFTEN": Explanation(
        "Attributes were used too often; the call was refused at once.",
        f"One client may write its own {amount(USER_ATTRIBUTES_WRITE_RATE)}, read those of users "
        f"{amount(USER_ATTRIBUTES_READ_RATE)}, write those of channels {amount(CHANNEL_ATTRIBUTES_WRITE_RATE)} and "
        f"read those {amount(CHANNEL_ATTRIBUTES_READ_RATE)}.",
        "Write several keys with one call. Instead of asking for channels again and again, be a member and listen to "
        "`ChannelAttributesUpdated`.",
    ),
    "USER_NOT_FOUND": Explanation(
        "The user has no attributes to read.",
        "He is offline or does not exist: attributes of users last as long as their session.",
        "Ask when he is online, which `subscribe_presence` tells.",
    ),
    "TIMEOUT": timed_out(
        _ATTRIBUTE_CALLS,
        OPERATION_TIMEOUT,
        "Read them to see what holds now. Setting the same values again does no harm.",
    ),
    "NOT_INITIALIZED": closed(_ATTRIBUTE_CALLS),
    "NOT_LOGGED_IN": not_logged_in(_ATTRIBUTE_CALLS),
}

_QUERY: Final = {
    "OK": succeeded("The answer is there: who is online, or which messages are kept."),
    "FAILURE": server_failed("The question", _SCOPE_PRESENCE),
    "INVALID_ARGUMENT": Explanation(
        "There is no question in the call.",
        f"No user is named, more than {PRESENCE_QUERY_USERS} are, or one is not a user id; of the history, a time, a "
        "place or a number is not possible.",
        f"Ask for 1 to {PRESENCE_QUERY_USERS} users at once; for more, in several calls.",
    ),
    "REJECTED": Explanation(
        "These messages are not for you.",
        "You asked the history for messages between others, or for those of a channel that you are not in. For the "
        "query of online states the documents reserve the number.",
        "Ask for messages that you sent or received, or join the channel first.",
    ),
    "TIMEOUT": timed_out("The question", PRESENCE_TIMEOUT, _AGAIN),
    "TOO_OFTEN": Explanation(
        "The question was asked too often; the call was refused at once.",
        f"One client may call `query_presence` {amount(PRESENCE_QUERY_RATE)}, the calls on stored messages "
        f"{amount(STORED_RATE)}; of the history all clients of an app together {amount(HISTORY_RATE)}.",
        "Wait for `error.retry_after` seconds. Instead of asking for states again and again, subscribe to them.",
    ),
    "NOT_INITIALIZED": closed("`query_presence`"),
    "NOT_LOGGED_IN": not_logged_in("`query_presence`"),
}

_SUBSCRIPTION: Final = {
    "OK": succeeded("The subscription is as you wanted it; the states come with `PresenceChanged`."),
    "FAILURE": server_failed("The change of the subscription", _SCOPE_PRESENCE),
    "INVALID_ARGUMENT": Explanation(
        "The call names nobody who can be subscribed to.",
        "No user is named, or one of the names is not a user id.",
        "Name users in a list, each by the id that he logs in with.",
    ),
    "REJECTED": reserved("a subscription that the server refuses"),
    "TIMEOUT": timed_out(
        "The change of the subscription",
        PRESENCE_TIMEOUT,
        "Call it again: to subscribe twice counts once. `subscribed_peers` says whom the server has.",
    ),
    "TOO_OFTEN": too_often(
        "`subscribe_presence` or `unsubscribe_presence`", PRESENCE_SUBSCRIBE_RATE, together=", each by itself"
    ),
    "OVERFLOW": Explanation(
        "You would be subscribed to too many users; none of those in the call is.",
        f"A client may be subscribed to {PRESENCE_SUBSCRIPTIONS} users in all.",
        "Unsubscribe from those who do not matter now, or ask for the others with `query_presence`.",
    ),
    "NOT_INITIALIZED": closed("The change of a subscription"),
    "NOT_LOGGED_IN": not_logged_in("The change of a subscription"),
}

_SUBSCRIBED: Final = {
    "OK": succeeded("The users that you are subscribed to are told."),
    "FAILURE": server_failed("`subscribed_peers`"),
    "TIMEOUT": timed_out("`subscribed_peers`", OPERATION_TIMEOUT, _AGAIN),
    "TOO_OFTEN": too_often("`subscribed_peers`", PEERS_SUBSCRIBED_RATE),
    "NOT_INITIALIZED": closed("`subscribed_peers`"),
    "NOT_LOGGED_IN": not_logged_in("`subscribed_peers`"),
}

_INVITATION_CALL: Final = {
    "OK": succeeded("The call was taken up; what becomes of the invitation comes as an event."),
    "INVALID_ARGUMENT": Explanation(
        "The invitation cannot be made, sent or answered like this.",
        f"The callee is no user id, the content or response is larger than {size(INVITATION_CONTENT_BYTES)} or no "
        "text, or the channel id is too long.",
        "Correct what the message names; send long texts as messages.",
    ),
    "NOT_STARTED": Explanation(
        "The invitation has not begun.",
        "It was canceled, accepted or refused before it was sent or received.",
        "Call `send()` first, and wait for its events.",
    ),
    "ALREADY_END": Explanation(
        "The invitation is over.",
        "It was refused, canceled or has failed before; an invitation object is used once.",
        "Make a new one with `client.invite`. `state` and `error` say how this one ended.",
    ),
    "ALREADY_ACCEPT": Explanation(
        "The invitation is accepted already.",
        "The acceptance came before your cancel, or you have answered before.",
        "Take the call as standing; hang up by a message of your own, such as `EndCall`.",
    ),
    "ALREADY_SENT": Explanation(
        "The invitation is on its way already.",
        "`send()` was called twice on one object.",
        "Wait for its outcome. For another call make another invitation.",
    ),
}

_LOCAL: Final = {
    "OK": succeeded("Your invitation has not failed."),
    "PEER_OFFLINE": Explanation(
        "The callee could not be reached.",
        f"He was offline for all of the {INVITATION_ACKNOWLEDGE_TIMEOUT:g} s in which the invitation was sent again "
        "and again.",
        "Invite him when he is online, which `subscribe_presence` tells, or leave a message with `offline=True`.",
    ),
    "PEER_NO_RESPONSE": Explanation(
        "The callee is online, but his client did not acknowledge the invitation.",
        f"Nothing came within {INVITATION_ACKNOWLEDGE_TIMEOUT:g} s: his program hangs, or does not know invitations.",
        "Try again later. It does not mean that he declined.",
    ),
    "INVITATION_EXPIRE": Explanation(
        "It rang, and nobody decided.",
        f"Neither side acted for {INVITATION_EXPIRE_AFTER:g} s since the invitation was sent, by your clock.",
        "Take it as unanswered; invite him again with a new object.",
    ),
    "NOT_LOGGED_IN": Explanation(
        "Your own session was missing or has ended.",
        "The invitation was sent without a login, or you logged out or were kicked while it rang.",
        "Log in, then make a new invitation.",
    ),
}

_REMOTE: Final = {
    "OK": succeeded("The invitation that you received has not failed."),
    "PEER_OFFLINE": Explanation(
        "The call cannot come about: one side is gone.",
        "The caller was offline when you accepted, or your own session ended.",
        "Wait for him to invite you again, or invite him.",
    ),
    "ACCEPT_FAILURE": Explanation(
        "You accepted, and the caller did not confirm it.",
        f"His confirmation did not come within {INVITATION_ACCEPT_TIMEOUT:g} s, or he knows of no such invitation.",
        "Do not start the call. If he holds it for accepted, he will be waiting: invite him yourself.",
    ),
    "INVITATION_EXPIRE": Explanation(
        "You did not decide in time.",
        f"{INVITATION_EXPIRE_AFTER:g} s have passed since the invitation was sent, by the caller's clock.",
        "Invite the caller yourself if you still want to talk to him.",
    ),
}

_TRANSFERS: Final = Explanation(
    "Too many files are under way.",
    f"{MEDIA_TRANSFERS} uploads and downloads of the client have not ended yet.",
    "Wait until one of them has ended.",
)

_UPLOAD: Final = {
    "OK": succeeded("The file is at the server, and has a media id."),
    "FAILURE": Explanation(
        "The upload failed.",
        "The file could not be read, or the server could not keep it.",
        "Look at the error's cause, and try again.",
    ),
    "INVALID_ARGUMENT": Explanation(
        "This is no file that can be uploaded.",
        "It does not exist or cannot be read, it is empty, or what goes with it is too much for a message.",
        "Name a file that can be read and has at least one byte; shorten its description or thumbnail.",
    ),
    "TIMEOUT": Explanation(
        "The upload came to a halt.",
        f"Nothing was transferred for {MEDIA_IDLE_TIMEOUT:g} s.",
        "Begin the upload again when the network is back.",
    ),
    "SIZE_OVERFLOW": Explanation(
        "The file is too large.", f"It has more than {size(MEDIA_BYTES)}.", "Send a smaller one, or in parts."
    ),
    "CONCURRENCY_LIMIT_EXCEEDED": _TRANSFERS,
    "INTERRUPTED": Explanation(
        "The upload was ended early.",
        "It was canceled, the client logged out, or its session was ended for good.",
        "Begin it again if you still want it.",
    ),
    "NOT_INITIALIZED": closed("The upload"),
    "NOT_LOGGED_IN": not_logged_in("The upload"),
}

_DOWNLOAD: Final = {
    "OK": succeeded("The file is here."),
    "FAILURE": Explanation(
        "The download failed.",
        "The server could not read the file, or it has no such part, or it could not be written here.",
        "Look at the error's cause, and try again.",
    ),
    "INVALID_ARGUMENT": Explanation(
        "This download is not possible.",
        "The media id is malformed, nothing can be written to the path to save it to, or the file has no such part.",
        "Take the media id from the message as it came, a path in a directory that is there, and a part of the file.",
    ),
    "TIMEOUT": Explanation(
        "The download came to a halt.",
        f"Nothing was transferred for {MEDIA_IDLE_TIMEOUT:g} s.",
        "Begin the download again when the network is back.",
    ),
    "NOT_EXIST": Explanation(
        "The server does not have the file.",
        f"The media id is unknown, or was given out more than {MEDIA_DAYS} days ago.",
        "Ask the sender to upload it again.",
    ),
    "CONCURRENCY_LIMIT_EXCEEDED": _TRANSFERS,
    "INTERRUPTED": Explanation(
        "The download was ended early.",
        "It was canceled, the client logged out, or its session was ended for good.",
        "Begin it again if you still want it.",
    ),
    "NOT_INITIALIZED": closed("The download"),
    "NOT_LOGGED_IN": not_logged_in("The download"),
}

_CANCEL: Final = {
    "OK": succeeded("The upload or download was canceled; it ends with INTERRUPTED."),
    "FAILURE": Explanation(
        "The upload or download could not be canceled.",
        "It belongs to another process, from which this one was forked.",
        "Cancel it in the process that began it.",
    ),
    "NOT_EXIST": Explanation(
        "There is no such upload or download.",
        "It has ended already.",
        "Nothing, if you want it to be over.",
    ),
    "NOT_INITIALIZED": closed("The cancel"),
    "NOT_LOGGED_IN": not_logged_in("The cancel"),
}

EXPLANATIONS: Final[Mapping[type[IntEnum], Mapping[str, Explanation]]] = {
    AttributeOperationError: _ATTRIBUTES,
    QueryPeersOnlineError: _QUERY,
    PeerSubscriptionStatusError: _SUBSCRIPTION,
    QueryPeersBySubscriptionOptionError: _SUBSCRIBED,
    InvitationApiCallError: _INVITATION_CALL,
    LocalInvitationError: _LOCAL,
    RemoteInvitationError: _REMOTE,
    UploadMediaError: _UPLOAD,
    DownloadMediaError: _DOWNLOAD,
    CancelMediaError: _CANCEL,
}
"""By family and name of the code."""
