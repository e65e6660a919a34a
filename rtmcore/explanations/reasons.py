"""Reasons that come with changes of state, and close codes."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from rtmcore.codes import (
    CloseCode,
    ConnectionChangeReason,
    LeaveChannelReason,
    RtcConnectionChangeReason,
    UserOfflineReason,
)
from rtmcore.explanations.model import Explanation, size
from rtmcore.limits import (
    FRAME_BYTES,
    HELLO_TIMEOUT,
    INTERRUPTED_AFTER,
    LOGIN_TIMEOUT,
    OFFLINE_AFTER,
    RTC_GIVE_UP_AFTER,
    RTC_INTERRUPTED_AFTER,
    RTC_LOGIN_TIMEOUT,
    RTC_LOST_AFTER,
    RTC_REMOTE_OFFLINE_AFTER,
    SERVER_OUTBOUND_BYTES,
)

_MINUTES: Final = f"{RTC_GIVE_UP_AFTER / 60:g} minutes"
_BY_ITSELF: Final = "Nothing: the client comes back by itself, and calls wait for it."
_LEAVE_AND_JOIN: Final = "Call `leave()`, and then `join()` when you want to try again."
_NOTHING: Final = "Nothing."
_NO_ENGINE: Final = "Nothing. Here it does not occur."

_RTM: Final = {
    "LOGIN": Explanation(
        "The client is CONNECTING.", "`login()` or `connect()` was called.", "Wait for the outcome."
    ),
    "LOGIN_SUCCESS": Explanation(
        "The client is CONNECTED.",
        "A login succeeded, or a reconnect: then `event.previous` is RECONNECTING.",
        "Nothing: after a reconnect channels, subscriptions and attributes are there again.",
    ),
    "LOGIN_FAILURE": Explanation(
        "The login failed; the client is DISCONNECTED.",
        "The server refused the app, the user or the token, or no attempt could succeed.",
        "Read the error that `login()` raises; its code is a `LoginError`. Nothing tries again by itself.",
    ),
    "LOGIN_TIMEOUT": Explanation(
        "The login took too long; the client is DISCONNECTED.",
        f"There was no success within {LOGIN_TIMEOUT:g} s, or the time that was given.",
        "Check URL and network with `rtm doctor`, then log in again.",
    ),
    "INTERRUPTED": Explanation(
        "The client is RECONNECTING.",
        f"Nothing was heard from the server for {INTERRUPTED_AFTER:g} s.",
        f"{_BY_ITSELF} After {OFFLINE_AFTER:g} s others see the user offline.",
    ),
    "LOGOUT": Explanation(
        "The client is DISCONNECTED.",
        "`logout()` or `close()` was called; also where that ended a login, or the state ABORTED.",
        "Nothing: this is what was asked for.",
    ),
    "BANNED_BY_SERVER": Explanation(
        "The session is over for good; the client is ABORTED.",
        "Whoever runs the server banned the user or put him out.",
        "Do not log in again by itself. Ask whoever runs the server; the reason is in the event's cause.",
    ),
    "REMOTE_LOGIN": Explanation(
        "The session is over for good; the client is ABORTED.",
        "Another client logged in by the same user id.",
        "Give each program a user id of its own. Logging in again by itself makes two clients kick each other.",
    ),
    "TOKEN_EXPIRED": Explanation(
        "The session is over for good; the client is ABORTED.",
        "The token expired while CONNECTED, and the token policy of the server is `abort`.",
        "Log out, and log in with a new token. Next time renew it at `TokenWillExpire`.",
    ),
}

_RTC: Final = {
    "CONNECTING": Explanation("The channel is CONNECTING.", "`join()` was called.", "Wait for the outcome."),
    "JOIN_SUCCESS": Explanation("You are in the channel.", "The join succeeded.", _NOTHING),
    "INTERRUPTED": Explanation(
        "The channel is RECONNECTING.",
        f"Nothing was heard from the server for {RTC_INTERRUPTED_AFTER:g} s.",
        f"Nothing: it comes back by itself, for {_MINUTES}.",
    ),
    "BANNED_BY_SERVER": Explanation(
        "The channel has FAILED.",
        "Whoever runs the server banned the user.",
        "Ask them, and leave the channel.",
    ),
    "JOIN_FAILED": Explanation(
        "The channel has FAILED.",
        f"The join did not succeed within {RTC_LOGIN_TIMEOUT:g} s, or an outage lasted {_MINUTES}.",
        _LEAVE_AND_JOIN,
    ),
    "LEAVE_CHANNEL": Explanation(
        "The channel is DISCONNECTED.", "`leave()` was called.", "Nothing: this is what was asked for."
    ),
    "INVALID_APP_ID": Explanation(
        "The channel has FAILED.",
        "The app id is malformed, or the server does not serve it.",
        "Compare the app id with the server's settings, leave, and join with the right one.",
    ),
    "INVALID_CHANNEL_NAME": Explanation(
        "The channel has FAILED.",
        "The channel name or the uid has characters that are not allowed, is empty or too long.",
        "Choose another name, and make a channel object for it.",
    ),
    "INVALID_TOKEN": Explanation(
        "The channel has FAILED.",
        "The token is missing, malformed, signed with another key, or made for another uid or app.",
        "Make a token for this uid and app; `rtm token inspect` shows what is in yours. Leave, then join.",
    ),
    "TOKEN_EXPIRED": Explanation(
        "The channel has FAILED.",
        "The token had expired at a join or at a return, or it expired while CONNECTED and the server's policy is "
        "`abort`.",
        "Leave, and join with a new token. Next time renew it at `TokenWillExpire`.",
    ),
    "REJECTED_BY_SERVER": Explanation(
        "The channel has FAILED.",
        "The server refuses the user for a reason that has no number of its own, such as a token without the scope "
        "`rtc`.",
        "Read the cause of the event, correct it, leave, and join.",
    ),
    "SETTING_PROXY_SERVER": Explanation(
        "The channel is RECONNECTING through a proxy that was set.",
        "In the original a proxy may be set while connected. Here it is a setting of the channel object.",
        _NO_ENGINE,
    ),
    "RENEW_TOKEN": Explanation(
        "A new token was handed over while RECONNECTING; the state stays.",
        "`renew_token()` was called, and an attempt with the new token began at once.",
        "Wait for the outcome.",
    ),
    "CLIENT_IP_ADDRESS_CHANGED": Explanation(
        "The channel is RECONNECTING from another address.",
        "In the original the engine watches the address. Here a change of it is an outage like any other: INTERRUPTED.",
        _NO_ENGINE,
    ),
    "KEEP_ALIVE_TIMEOUT": Explanation(
        "The channel is RECONNECTING.",
        f"The server had heard nothing for too long, and then the client nothing for {RTC_INTERRUPTED_AFTER:g} s: "
        "the way out is blocked.",
        f"Nothing: it comes back by itself, for {_MINUTES}.",
    ),
    "REJOIN_SUCCESS": Explanation(
        "You are in the channel again.",
        "A reconnect succeeded. Older documents say JOIN_SUCCESS for it.",
        f"Nothing. If it took more than {RTC_REMOTE_OFFLINE_AFTER:g} s, others have seen you leave and come.",
    ),
    "LOST": Explanation(
        "The connection counts as lost; the state stays RECONNECTING.",
        f"Nothing was heard from the server for {RTC_LOST_AFTER:g} s. `RtcConnectionLost` comes once an outage.",
        f"Tell the user. Attempts go on for {_MINUTES}.",
    ),
    "ECHO_TEST": Explanation(
        "The state belongs to a test of the sound.",
        "In the original a call tests microphone and loudspeaker. Here there is no sound.",
        _NO_ENGINE,
    ),
    "CLIENT_IP_ADDRESS_CHANGED_BY_USER": Explanation(
        "The channel is RECONNECTING from an address that the user set.",
        "In the original the address may be set. Here nobody sets it.",
        _NO_ENGINE,
    ),
    "SAME_UID_LOGIN": Explanation(
        "The channel has FAILED.",
        "Another client joined it by the same uid.",
        "Give each client a uid of its own. Joining again by itself makes the two put each other out.",
    ),
    "TOO_MANY_BROADCASTERS": Explanation(
        "The channel has FAILED, since it has too many broadcasters.",
        "In the original users are broadcasters or audience. Here all are alike, and none is refused for that.",
        _NO_ENGINE,
    ),
}

_OFFLINE: Final = {
    "QUIT": Explanation("A user is gone from the RTC channel.", "He left, or his program ended.", _NOTHING),
    "DROPPED": Explanation(
        "A user is gone from the RTC channel.",
        f"Nothing was heard from him for {RTC_REMOTE_OFFLINE_AFTER:g} s.",
        "Nothing: if he comes back, `RtcUserJoined` tells.",
    ),
    "BECOME_AUDIENCE": Explanation(
        "A user only listens from now on.",
        "In the original a broadcaster may become audience. Here all users are alike.",
        _NO_ENGINE,
    ),
}

_LEFT: Final = {
    "QUIT": Explanation(
        "A member has left by itself.",
        "`leave()` was called. It returns when it is done; no event says so to the one who left.",
        _NOTHING,
    ),
    "KICKED": Explanation(
        "You are out of the channel.",
        "Whoever runs the service took you out; `ChannelLost` says so.",
        "Ask them before joining again.",
    ),
}

_COMES_BACK: Final = "Nothing: the client comes back by itself."
_FAILED_REQUESTS: Final = (
    "The client comes back by itself; what it had sent on that connection without an answer fails. If it happens "
    "again, report it as a bug."
)
_STAYS_AWAY: Final = "The client stays away until the application logs in again."

_CLOSE: Final = {
    "NORMAL": Explanation(
        "The connection has served its purpose.",
        "One side closed it in an orderly way, a client at its logout for example.",
        "Nothing: unless the client closed it itself, it comes back by itself.",
    ),
    "GOING_AWAY": Explanation(
        "The other side goes away.", "A proxy or a server in between was shut down.", _COMES_BACK
    ),
    "PROTOCOL_ERROR": Explanation(
        "What came was not WebSocket.",
        "The framing was broken: something between client and server changes bytes, or one of them has a bug.",
        _FAILED_REQUESTS,
    ),
    "UNSUPPORTED_DATA": Explanation(
        "What came was of the wrong kind.",
        "Text came where the subprotocol is binary, or bytes where it is text.",
        "The client comes back by itself. Clients of your own: send the kind that the subprotocol names.",
    ),
    "INVALID_DATA": Explanation("A text was not UTF-8.", "The sender has a bug.", _FAILED_REQUESTS),
    "POLICY": Explanation(
        "The other side used WebSocket in a way that nobody needs.",
        "A message came in too many fragments, or too many control frames came at once.",
        "The client comes back by itself. Clients of your own: send whole messages.",
    ),
    "TOO_BIG": Explanation(
        "A WebSocket message was too large.",
        f"It was above the limit of the welcome, {size(FRAME_BYTES)} where a server sets no other.",
        "The client comes back by itself; the request in it fails. Send smaller messages.",
    ),
    "INTERNAL_ERROR": Explanation(
        "The server made a mistake.",
        "It has a bug; its log says more.",
        "The client comes back by itself. Report it with the server's log.",
    ),
    "SHUTDOWN": Explanation(
        "The server stops, or is drained.",
        "It is restarted or taken out of service, and says when to come back.",
        "Nothing: the client comes back by itself after that time, within 30 s as if nothing had been.",
    ),
    "ENGINE_UNAVAILABLE": Explanation(
        "The server cannot reach its state.",
        "Its engine does not answer: a disk that stands still, or a store that is down.",
        "The client comes back by itself. Whoever runs the server: look at its log and its disk.",
    ),
    "HEARTBEAT_TIMEOUT": Explanation(
        "One side heard nothing from the other for too long.",
        "The network drops packets, or the program was stopped for a while.",
        "Nothing: the client comes back by itself and misses nothing within 30 s.",
    ),
    "SLOW_CONSUMER": Explanation(
        "The client did not read fast enough.",
        f"More than {size(SERVER_OUTBOUND_BYTES)} waited for it at the server.",
        "The client comes back by itself and catches up from its positions. Make callbacks shorter, or the network "
        "wider.",
    ),
    "RESYNC": Explanation(
        "The server cannot go on with the session as it was.",
        "The session was over, or the server lost what it needs to go on.",
        "Nothing: the client comes back by itself, rejoins its channels and sends its attributes again.",
    ),
    "TOO_MANY_REQUESTS": Explanation(
        "Too many connections wait for their hello.",
        "Many clients come at once, or somebody opens connections and says nothing.",
        "Nothing: the client comes back by itself after the time that the server names.",
    ),
    "HELLO_TIMEOUT": Explanation(
        "The first packet did not come in time.",
        f"There was no valid hello within {HELLO_TIMEOUT:g} s: the network is very slow, or the client is "
        "not one of ours.",
        _COMES_BACK,
    ),
    "MALFORMED": Explanation(
        "A packet could not be read.",
        "It could not be decoded, or came where it must not: one of the two has a bug, or they are of different "
        "versions.",
        _FAILED_REQUESTS,
    ),
    "TOO_LARGE": Explanation(
        "A packet exceeds a limit.",
        "Too much came before the hello, or the hello names too many channels.",
        _FAILED_REQUESTS,
    ),
    "UNSUPPORTED": Explanation(
        "The server does not know this version of the protocol.",
        "Client and server are of different generations, or the kind of session is unknown to the server.",
        "Update the older of the two. The client goes on trying meanwhile.",
    ),
    "REPLACED": Explanation(
        "A newer connection of the same client has taken over.",
        "The client had opened another one, since this one was silent.",
        "Nothing: the newer one goes on, and the client comes back on no other.",
    ),
    "STALE_ATTEMPT": Explanation(
        "The connection came too late.",
        "A newer attempt of the same client had reached the server before.",
        "Nothing: the client comes back by itself only where it has no newer connection.",
    ),
    "NO_SESSION": Explanation(
        "A media connection came without its room.",
        "The signaling of the room has not reached the server yet, or is over.",
        "Nothing: the client comes back by itself while the signaling of its room stands.",
    ),
    "REMOTE_LOGIN": Explanation(
        "The session is over: another client logged in by the same user id.",
        "Two programs share one user id.",
        f"{_STAYS_AWAY} Its state is ABORTED. Give each program a user id of its own.",
    ),
    "BANNED": Explanation(
        "The session is over: the user is banned.",
        "Whoever runs the server banned him; each login is refused from then on.",
        f"{_STAYS_AWAY} Its state is ABORTED. Only whoever banned him can change that.",
    ),
    "TOKEN_EXPIRED": Explanation(
        "The session is over: its token expired.",
        "The token policy of the server is `abort`.",
        f"{_STAYS_AWAY} Its state is ABORTED. Log in with a new token; next time renew it at `TokenWillExpire`.",
    ),
    "LOGIN_REFUSED": Explanation(
        "The server does not let the client in.",
        "App, user or token is wrong; the error of the login says which.",
        f"{_STAYS_AWAY} A client that was logged in before goes on trying with a fresh token.",
    ),
    "LOGGED_OUT": Explanation(
        "The session is over: the client logged out.",
        "It is the server's answer to the goodbye.",
        f"{_STAYS_AWAY} This is what was asked for.",
    ),
}

EXPLANATIONS: Final[Mapping[type[IntEnum], Mapping[str, Explanation]]] = {
    ConnectionChangeReason: _RTM,
    RtcConnectionChangeReason: _RTC,
    UserOfflineReason: _OFFLINE,
    LeaveChannelReason: _LEFT,
    CloseCode: _CLOSE,
}
"""By family and name of the reason or close code."""
