"""Codes of rooms: those of Twilio's public catalogue."""

from collections.abc import Mapping
from typing import Final

from rtmcore.explanations.model import Explanation, size
from rtmcore.limits import (
    CHANNEL_ID_BYTES,
    DATA_TRACKS,
    MESSAGE_BYTES,
    ROOM_CONNECT_TIMEOUT,
    ROOM_MEDIA_INTERRUPTED_AFTER,
    ROOM_PARTICIPANTS,
    ROOM_SESSION_TIMEOUT,
    ROOM_SIGNALING_INTERRUPTED_AFTER,
    TOKEN_SECONDS_MAX,
    TRACK_NAME_BYTES,
    USER_ID_BYTES,
)

_NO_REST: Final = (
    "Never here: a room begins with the first who connects and ends with the last; no call makes or changes one "
    "otherwise."
)
_NO_SOUND: Final = (
    "Never here: rooms carry messages and data tracks, and nobody negotiates sound or pictures."
)
_NOTHING: Final = "Nothing. Whoever meets it talks to another server."
_CHARACTERS: Final = "It has characters outside the 89 that ids may have."


def _elsewhere(means: str, why: str) -> Explanation:
    """A code of the catalogue for which there is no occasion here."""
    return Explanation(means, why, _NOTHING)


TOKENS: Final = {
    "ACCESS_TOKEN_INVALID": Explanation(
        "The token is no good.",
        "It is missing, malformed, or lasts longer than the "
        f"{TOKEN_SECONDS_MAX // 3600} hours that a room permits.",
        "Make one for this identity and room; `rtm token inspect` shows what is in yours.",
    ),
    "ACCESS_TOKEN_HEADER_INVALID": Explanation(
        "The head of the token cannot be used.",
        "It is of a format that the app does not take, names a key (`kid`) that the app does not have, or no key "
        "for it is in force now.",
        "Compare the `kid` and the algorithm with the keys of the server, and with the times in which they are "
        "in force.",
    ),
    "ACCESS_TOKEN_ISSUER_INVALID": Explanation(
        "The token is for another app, or for another participant.",
        "Its app id or its user is not that of this connect, or the server does not serve the app.",
        "Make it for this app id, with the identity as its user.",
    ),
    "ACCESS_TOKEN_EXPIRED": Explanation(
        "The token's time is over.",
        "It is looked at when the room connects and again when it reconnects after an outage.",
        f"Make it last as long as the longest stay, at most {TOKEN_SECONDS_MAX // 3600} hours, or give a function as "
        "`token`.",
    ),
    "ACCESS_TOKEN_NOT_YET_VALID": Explanation(
        "The token's time has not begun.",
        "The clock of its maker is ahead of the server's, or it was made for later.",
        "Set the clocks by NTP, or wait.",
    ),
    "ACCESS_TOKEN_GRANTS_INVALID": Explanation(
        "The token does not allow this room.",
        "Its scope `room` is missing, or names other rooms.",
        "Have one made with this room in its scope: `rtm token --room NAME`.",
    ),
    "ACCESS_TOKEN_SIGNATURE_INVALID": Explanation(
        "The token was signed with another key.",
        "Its signature fits none of the keys that the server has for the app, or somebody changed the token.",
        "Sign with a key of the app that the server has.",
    ),
}

SIGNALING: Final = {
    "SIGNALING_CONNECTION": Explanation(
        "The room cannot be reached, or not any more.",
        f"The one attempt of a connect failed or took more than {ROOM_CONNECT_TIMEOUT:g} s, or the server refused the "
        "return of a room for good.",
        "Read the cause of the error. Connect anew; nothing does so by itself.",
    ),
    "SIGNALING_CONNECTION_DISCONNECTED": Explanation(
        "The signaling of the room is interrupted; it is reconnecting.",
        f"Nothing was heard from the server for {ROOM_SIGNALING_INTERRUPTED_AFTER:g} s, or the connection broke.",
        "Wait for `RoomReconnected`. Messages that are sent meanwhile wait too.",
    ),
    "SIGNALING_CONNECTION_TIMEOUT": Explanation(
        "The room is over for you: its signaling was away for too long.",
        f"No attempt to come back succeeded within {ROOM_SESSION_TIMEOUT:g} s.",
        "Connect anew when the network is back.",
    ),
    "SIGNALING_INCOMING_MESSAGE_INVALID": Explanation(
        "The server sent what the client cannot handle.",
        "What answered the connect is no such server, something on the way changes bytes, or one of the two has a bug.",
        "Check the URL with `rtm doctor`, and update both to one version. If it stays, report it as a bug.",
    ),
    "SIGNALING_OUTGOING_MESSAGE_INVALID": Explanation(
        "The message cannot be sent to the room.",
        "It is neither text nor bytes. One that is too large has the code INVALID_MESSAGE of a send to a channel.",
        "Send a `str` or bytes.",
    ),
    "SIGNALING_SERVER_BUSY": Explanation(
        "The server has too much to do, or this identity connects too often.",
        "More connects came than the rate of logins lets in, or the server is at its limit.",
        "Wait for `error.retry_after` seconds, then connect again.",
    ),
}

ROOMS: Final = {
    "ROOM_NAME_INVALID": Explanation(
        "The name of the room is not possible.",
        'It is empty, not a string, or the word "null".',
        "Choose a name of at least one character.",
    ),
    "ROOM_NAME_TOO_LONG": Explanation(
        "The name of the room is too long.",
        f"It has more than {CHANNEL_ID_BYTES} bytes.",
        "Choose a shorter one.",
    ),
    "ROOM_NAME_CHARS_INVALID": Explanation(
        "The name of the room has characters that are not allowed.",
        _CHARACTERS,
        "Use letters, digits, spaces and the documented punctuation.",
    ),
    "ROOM_CREATE_FAILED": _elsewhere(
        "The server could not make the room.",
        "Never here: nobody makes a room before it is connected to. A connect for which there is no place is "
        "ROOM_CONNECT_FAILED.",
    ),
    "ROOM_CONNECT_FAILED": Explanation(
        "The connect failed, for a reason that has no code of its own.",
        "The server refuses this participant, who may be banned; or `disconnect()` or `close()` came first; or the "
        "server could not do it now.",
        "Read the message and the cause of the error.",
    ),
    "ROOM_MAX_PARTICIPANTS_EXCEEDED": Explanation(
        "The room is full.",
        f"{ROOM_PARTICIPANTS} participants are in it, those included who are reconnecting.",
        "Wait until somebody leaves, or use another room.",
    ),
    "ROOM_NOT_FOUND": _elsewhere("There is no room of that name to operate on.", _NO_REST),
    "ROOM_MAX_PARTICIPANTS_OUT_OF_RANGE": _elsewhere(
        "The number of participants that a room was to be made for is not possible.", _NO_REST
    ),
    "ROOM_TYPE_INVALID": _elsewhere("The type of room that was to be made does not exist.", _NO_REST),
    "ROOM_TIMEOUT_OUT_OF_RANGE": _elsewhere(
        "The time after which an empty room was to end is not possible.", _NO_REST
    ),
    "ROOM_STATUS_CALLBACK_METHOD_INVALID": _elsewhere(
        "The HTTP method by which a room was to report its status is none.", _NO_REST
    ),
    "ROOM_STATUS_CALLBACK_INVALID": _elsewhere(
        "The URL to which a room was to report its status is none, or too long.", _NO_REST
    ),
    "ROOM_STATUS_INVALID": _elsewhere(
        "The status to which a room was to be set is not possible, or the room is over.", _NO_REST
    ),
    "ROOM_ROOM_EXISTS": _elsewhere(
        "A room of that name exists already, so that it cannot be made.", _NO_REST
    ),
    "ROOM_INVALID_PARAMETERS": _elsewhere("An option for a new room does not go with its type.", _NO_REST),
    "ROOM_MEDIA_REGION_INVALID": _elsewhere("The region that a room was to be made in is none.", _NO_REST),
    "ROOM_MEDIA_REGION_UNAVAILABLE": _elsewhere(
        "The region that a room was to be made in has no media server now.", _NO_REST
    ),
    "ROOM_SUBSCRIPTION_OPERATION_NOT_SUPPORTED": _elsewhere(
        "Tracks cannot be chosen in this type of room.",
        "Never here: everybody gets all data tracks, and there is nothing to choose.",
    ),
    "ROOM_COMPLETED": _elsewhere("The room was ended for all, by a call of the REST API.", _NO_REST),
    "ROOM_AUDIO_ONLY_FLAG_NOT_SUPPORTED": _elsewhere(
        "The room cannot be for sound alone.", "Never here: there is no sound, and no such flag."
    ),
    "ROOM_TRACK_KIND_NOT_SUPPORTED": _elsewhere(
        "The room does not carry this kind of track.",
        "Never here: there is one kind, the data track.",
    ),
}

PARTICIPANTS: Final = {
    "PARTICIPANT_IDENTITY_INVALID": Explanation(
        "The identity is not possible.",
        'It is empty, not a string, or the word "null".',
        "Choose an identity of at least one character.",
    ),
    "PARTICIPANT_IDENTITY_TOO_LONG": Explanation(
        "The identity is too long.",
        f"It has more than {USER_ID_BYTES} bytes.",
        "Choose a shorter one.",
    ),
    "PARTICIPANT_IDENTITY_CHARS_INVALID": Explanation(
        "The identity has characters that are not allowed.",
        _CHARACTERS,
        "Use letters, digits, spaces and the documented punctuation.",
    ),
    "PARTICIPANT_MAX_TRACKS_EXCEEDED": Explanation(
        "You have as many data tracks as a participant may have.",
        f"A frame was to be sent on a new track beside {DATA_TRACKS} others.",
        "Use one of the tracks that there are; they last as long as the room.",
    ),
    "PARTICIPANT_NOT_FOUND": _elsewhere(
        "There is no participant of that identity to operate on.",
        "Never here: no call names a participant; `room.participants` holds those that there are.",
    ),
    "PARTICIPANT_DUPLICATE_IDENTITY": Explanation(
        "The room is over for you: somebody else has connected by your identity.",
        "Two programs use one identity, or you connected again while the old connection still stood.",
        "Give each program an identity of its own. Do not connect again by itself: the two would kick each other.",
    ),
}

TRACKS: Final = {
    "TRACK_INVALID": Explanation(
        "The frame cannot be sent on a data track.",
        f"It is not bytes, or larger than {size(MESSAGE_BYTES)}.",
        "Send bytes, and larger things in pieces.",
    ),
    "TRACK_NAME_INVALID": Explanation(
        "The name of the data track is not possible.",
        "It is empty, or not a string.",
        "Choose a name of at least one character.",
    ),
    "TRACK_NAME_TOO_LONG": Explanation(
        "The name of the data track is too long.",
        f"It has more than {TRACK_NAME_BYTES} bytes.",
        "Choose a shorter one.",
    ),
    "TRACK_NAME_CHARS_INVALID": Explanation(
        "The name of the data track has characters that are not allowed.",
        "It has characters that cannot be printed, such as line ends.",
        "Use printable characters.",
    ),
    "TRACK_NAME_IS_DUPLICATED": _elsewhere(
        "You publish a track of that name already.",
        "Never here: `data_track` of the same name is the same track.",
    ),
    "TRACK_SERVER_TRACK_CAPACITY_REACHED": _elsewhere(
        "The server has no place for another track.",
        "Never here: a data track costs the server nothing until a frame is sent.",
    ),
}

MEDIA: Final = {
    "MEDIA_CLIENT_LOCAL_DESC_FAILED": _elsewhere("The client could not describe its media.", _NO_SOUND),
    "MEDIA_SERVER_LOCAL_DESC_FAILED": _elsewhere("The server could not describe its media.", _NO_SOUND),
    "MEDIA_CLIENT_REMOTE_DESC_FAILED": _elsewhere(
        "The client could not use the server's description of its media.", _NO_SOUND
    ),
    "MEDIA_SERVER_REMOTE_DESC_FAILED": _elsewhere(
        "The server could not use the client's description of its media.", _NO_SOUND
    ),
    "MEDIA_NO_SUPPORTED_CODEC": _elsewhere("There is no codec that both sides have.", _NO_SOUND),
    "MEDIA_CONNECTION": Explanation(
        "The media connection of the room is missing; the room is reconnecting, or over for you.",
        f"Nothing was heard on it for {ROOM_MEDIA_INTERRUPTED_AFTER:g} s, or it did not come up. After "
        f"{ROOM_SESSION_TIMEOUT:g} s without it the room ends. A frame that is sent while it is missing has this code "
        "too.",
        "Wait for `RoomReconnected`, then send frames again: none is kept. Messages are not concerned.",
    ),
    "MEDIA_DTLS_TRANSPORT_FAILED": Explanation(
        "The room is over for you: its media connection cannot be secured.",
        "The TLS handshake of the media connection failed, though that of the signaling had not.",
        "Read the cause of the error: certificates or TLS settings of what answers there are wrong.",
    ),
}

CONFIGURATION: Final = {
    "CONFIGURATION_ACQUIRE_FAILED": _elsewhere(
        "The client could not get its configuration.",
        "Never here: what a client has to know comes in the server's welcome.",
    ),
    "CONFIGURATION_ACQUIRE_TURN_FAILED": _elsewhere(
        "The server could not give credentials for a TURN server.",
        "Never here: media goes through the server itself, and needs no TURN.",
    ),
}

ROOM_EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    **TOKENS,
    **SIGNALING,
    **ROOMS,
    **PARTICIPANTS,
    **TRACKS,
    **MEDIA,
    **CONFIGURATION,
}
"""By name of the code."""
