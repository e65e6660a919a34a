"""The exceptions of the client library, arranged by what a caller can do about them.

One tree with :class:`RtmError` at its root. The documented code of the operation that failed rides along in
``error.code`` as a member of that operation's enumeration, because the same number means different things in
different operations. :func:`error_for` turns such a code into its exception; :func:`error_class` names the class.

========================  =====================================================================================
What a caller can do      Classes
========================  =====================================================================================
Correct the call          InvalidArgument, LimitExceeded, StateError and its kinds, WouldDeadlock, ForkedClient
Log in first              NotLoggedIn; Aborted (log out first); ClientClosed (make a new client)
Get other credentials     AuthError and its kinds
Try again later           RateLimited, ConnectionFailed and its kinds, ServerFailure, PeerUnreachable
Find out what happened    RequestTimeout with ``outcome_unknown``, OutcomeUnknown
Report a bug              ProtocolError and its kinds
========================  =====================================================================================
"""

from enum import IntEnum
from typing import ClassVar, Final

from rtmcore.codes import (
    AttributeOperationError,
    CancelMediaError,
    ChannelMemberCountError,
    CreateChannelError,
    DownloadMediaError,
    GetMembersError,
    InitError,
    InvitationApiCallError,
    JoinChannelError,
    LeaveChannelError,
    LocalInvitationError,
    LoginError,
    LogoutError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RemoteInvitationError,
    RenewTokenError,
    RoomErrorCode,
    SendChannelMessageError,
    SendPeerMessageError,
    ServiceContextError,
    UploadMediaError,
)


class RtmError(Exception):
    """Base of every error of this library.

    Args:
        message: One sentence: what happened, with its cause.
        code: The documented code, a member of the failed operation's enumeration; None where none is documented.
        operation: Name of the method that failed, for example ``"join"``.
        state: Name of the connection state at that moment, for example ``"RECONNECTING"``.
        request_id: Number of the request on the wire, to find it in logs of client and server.
        retry_after: Seconds after which another try may succeed; None when waiting alone changes nothing or the
            time is not known.
        hint: What to do about it; by default the advice that belongs to the class.

    All arguments are attributes of the same name, and survive pickling and copying. ``str(error)`` puts message,
    operation, state, code and hint together.
    """

    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str = "",
        *,
        code: IntEnum | None = None,
        operation: str | None = None,
        state: str | None = None,
        request_id: int | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.operation = operation
        self.state = state
        self.request_id = request_id
        self.retry_after = retry_after
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        context = []
        if self.operation is not None:
            context.append(f"in {self.operation}")
        if self.state is not None:
            context.append(f"state {self.state}")
        if self.code is not None:
            context.append(f"code {self.code.value} {type(self.code).__name__}.{self.code.name}")
        if self.retry_after is not None:
            context.append(f"retry after {self.retry_after:g} s")
        parts = [self.message or type(self).__name__]
        if context:
            parts.append(f"({', '.join(context)})")
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


# --- Log in first ----------------------------------------------------------------------------------------------


class NotLoggedIn(RtmError, RuntimeError):
    """The call needs a login and there is none (102). Log in, then call again."""

    default_hint = "Call login() and wait for it to succeed first."


class ClientClosed(RtmError, RuntimeError):
    """The client object was closed (101). It stays closed; make a new one."""

    default_hint = "Make a new client: a closed one is never opened again."


class Aborted(RtmError):
    """The session ended for good: another login of the same name, a ban, or an expired token.

    Raised at once by every call that needs a login while the client is ABORTED, and by what waited when it got
    there without having been sent. Call `logout()`, then `login()`; a loop that does so by itself makes two
    clients kick each other for ever.

    Args:
        message: See :class:`RtmError`, as for the other arguments.
        reason: Why the session was aborted; None where the cause is not one of these reasons, as in a room.
    """

    default_hint = "Nothing logs in again by itself: call logout(), then login(). One name per client."

    def __init__(
        self,
        message: str = "",
        *,
        reason: IntEnum | None = None,
        code: IntEnum | None = None,
        operation: str | None = None,
        state: str | None = None,
        request_id: int | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message,
            code=code,
            operation=operation,
            state=state,
            request_id=request_id,
            retry_after=retry_after,
            hint=hint,
        )
        self.reason = reason


# --- Correct the call ------------------------------------------------------------------------------------------


class InvalidArgument(RtmError, ValueError):
    """An argument has the wrong shape: an id, a message, a key, a file. The same call never succeeds."""


class LimitExceeded(RtmError):
    """The call would exceed a documented amount: channels joined, peers subscribed to, size of attributes.

    Give something back first (leave a channel, unsubscribe, delete attributes), or ask for less.
    """


class StateError(RtmError):
    """The call does not fit what the application did before, for example by logging out during a login."""


class AlreadyLoggedIn(StateError):
    """`login` while logged in, logging in, reconnecting, or aborted and not yet logged out (login 8)."""

    default_hint = "Call logout() before another login()."


class AlreadyJoined(StateError):
    """`join` of a channel that this client is in, or is joining, already."""


class NotInChannel(StateError):
    """The call needs membership of the channel, and this client is not in it (any more). Join, then call again."""

    default_hint = "Call join() on the channel first."


class InvitationNotStarted(StateError):
    """The invitation was not sent yet, so it cannot be canceled, accepted or refused."""


class InvitationAlreadyEnded(StateError):
    """The invitation is over. Make a new one: an invitation object is used once."""


class InvitationAlreadyAccepted(StateError):
    """The invitation was accepted already, so it can be neither canceled nor answered again."""


class InvitationAlreadySent(StateError):
    """The invitation was sent already. Make a new one for another call."""


class WouldDeadlock(RtmError, RuntimeError):
    """A blocking call was made where it could only wait for itself.

    That is inside the library's own locked section, which a signal handler or a finalizer can interrupt, and in a
    token provider. Use the call's Future twin, or call from elsewhere.
    """

    default_hint = "Use the variant that returns a Future, or make the call from another thread."


class ForkedClient(RtmError, RuntimeError):
    """A call, or a Future that was waiting, belongs to a client that was made before `os.fork()`.

    The parent's session is untouched. Log in again in the child, with its own user id.
    """

    default_hint = "Make the client, or log in, after the fork."


# --- Get other credentials -------------------------------------------------------------------------------------


class AuthError(RtmError):
    """The server refuses who is asking. Trying again without changing the credentials is useless.

    Attributes:
        detail: What is wrong, as a room names it, where a verifier of tokens says it more exactly than by `code`.
    """

    detail: RoomErrorCode | None = None


class InvalidAppId(AuthError):
    """The app id is malformed, or the server does not serve it (login 4)."""

    default_hint = "Compare the app id with the one that the server was started with."


class InvalidToken(AuthError):
    """The token is malformed, wrongly signed, not valid yet, or made for another user or app (login 5)."""

    default_hint = "Make a token for this app id and user id, with the key the server knows."


class TokenExpired(AuthError):
    """The token's time is over (login 6). Get a new one; while reconnecting hand it to `renew_token()`."""

    default_hint = "Get a new token; renew_token() lets a reconnecting client go on."


class NotAuthorized(AuthError):
    """The token is good, but does not permit this (login 7)."""

    default_hint = "Ask for a token with the missing permission."


class Rejected(AuthError):
    """The server refuses this user or this call by its own decision (login 2)."""


class Banned(Rejected):
    """The server refuses this user because he is banned. Only whoever banned him can change that."""


# --- Try again later -------------------------------------------------------------------------------------------


class RateLimited(RtmError):
    """Called more often than the server allows: the documented rate, unless it tells another.

    The call was not carried out; ``retry_after`` says in how many seconds there is room.
    """


class ConnectionFailed(RtmError, ConnectionError):
    """No connection to the server, or it was lost and did not come back in time. ``__cause__`` has the details."""


class TlsError(ConnectionFailed):
    """The TLS handshake failed: unknown issuer, wrong host name, expired or missing certificate, no common version.

    Trying again helps only after a change of certificates or TLS settings.
    """


class ProxyError(ConnectionFailed):
    """The HTTP proxy could not be reached, or refused to connect to the server."""


class NameResolutionError(ConnectionFailed):
    """The server's host name, or the proxy's, could not be resolved."""


class ServerFailure(RtmError):
    """The server could not do it, and the fault is not the caller's. Another try may succeed."""


class PeerUnreachable(RtmError):
    """The peer is offline and the message was not stored for it. It will not be delivered later."""


class UserNotFound(RtmError):
    """The user is offline or does not exist, so it has no attributes to read."""


class InvitationFailed(RtmError):
    """A call invitation ended without an answer; ``code`` says why. Make a new invitation to try again."""


class TransferFailed(RtmError):
    """An upload or download failed, or the file is unknown or no longer kept."""


class TransferCancelled(RtmError):
    """An upload or download was ended early: by `cancel()`, by logout, or because the session was aborted."""


# --- Find out what happened ------------------------------------------------------------------------------------


class RequestTimeout(RtmError, TimeoutError):
    """No answer within the call's timeout; a reconnect that took too long ends this way too.

    Args:
        message: See :class:`RtmError`, as for the other arguments.
        outcome_unknown: True when the request may have been carried out all the same: its bytes may have reached
            the server. It is never repeated by the library after this exception. False when it certainly was not
            carried out, or changes nothing; then simply call again.
    """

    def __init__(
        self,
        message: str = "",
        *,
        outcome_unknown: bool = False,
        code: IntEnum | None = None,
        operation: str | None = None,
        state: str | None = None,
        request_id: int | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message,
            code=code,
            operation=operation,
            state=state,
            request_id=request_id,
            retry_after=retry_after,
            hint=hint,
        )
        self.outcome_unknown = outcome_unknown


class OutcomeUnknown(RtmError):
    """The session ended, by a kick or a logout, while the request was under way: it may have been carried out."""

    default_hint = "Ask for the result in another way before repeating the call."


# --- Report a bug ----------------------------------------------------------------------------------------------


class ProtocolError(RtmError):
    """The rules of the protocol were broken; see the two kinds."""


class LocalProtocolError(ProtocolError):
    """A core was driven in a way that its state does not allow. This is a bug of the code that drives it."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what the protocol does not allow. The connection that it came on is closed.

    Args:
        message: See :class:`RtmError`, as for the other arguments.
        close_code: The WebSocket close code to answer with; None before the WebSocket handshake is done.
    """

    def __init__(
        self,
        message: str = "",
        *,
        close_code: int | None = None,
        code: IntEnum | None = None,
        operation: str | None = None,
        state: str | None = None,
        request_id: int | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            message,
            code=code,
            operation=operation,
            state=state,
            request_id=request_id,
            retry_after=retry_after,
            hint=hint,
        )
        self.close_code = close_code


# --- From code to exception ------------------------------------------------------------------------------------

#: The enumerations whose members are error codes, in the order of a client's life.
ERROR_FAMILIES: Final[tuple[type[IntEnum], ...]] = (
    ServiceContextError,
    InitError,
    LoginError,
    LogoutError,
    RenewTokenError,
    SendPeerMessageError,
    CreateChannelError,
    JoinChannelError,
    LeaveChannelError,
    SendChannelMessageError,
    GetMembersError,
    ChannelMemberCountError,
    AttributeOperationError,
    QueryPeersOnlineError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    InvitationApiCallError,
    LocalInvitationError,
    RemoteInvitationError,
    UploadMediaError,
    DownloadMediaError,
    CancelMediaError,
    RoomErrorCode,
)

#: A member's name means the same in every family of codes that has no table of its own below.
_CLASS_OF_NAME: Final[dict[str, type[RtmError]]] = {
    "ABORTED_BY_LEAVE": StateError,
    "ABORTED_BY_LOGOUT": StateError,
    "ALREADY_ACCEPT": InvitationAlreadyAccepted,
    "ALREADY_END": InvitationAlreadyEnded,
    "ALREADY_INITIALIZED": StateError,
    "ALREADY_JOINED": AlreadyJoined,
    "ALREADY_JOINED_CHANNEL_OF_SAME_ID": AlreadyJoined,
    "ALREADY_LOGIN": AlreadyLoggedIn,
    "ALREADY_SENT": InvitationAlreadySent,
    "CONCURRENCY_LIMIT_EXCEEDED": LimitExceeded,
    "EXCEED_LIMIT": LimitExceeded,
    "FAILURE": ServerFailure,
    "INCOMPATIBLE_MESSAGE": InvalidArgument,
    "INTERRUPTED": TransferCancelled,
    "INVALID_APP_ID": InvalidAppId,
    "INVALID_ARGUMENT": InvalidArgument,
    "INVALID_MESSAGE": InvalidArgument,
    "INVALID_TOKEN": InvalidToken,
    "INVALID_USER_ID": InvalidArgument,
    "JOIN_SAME_CHANNEL_TOO_OFTEN": RateLimited,
    "KICKED": NotInChannel,
    "NOT_AUTHORIZED": NotAuthorized,
    "NOT_EXIST": TransferFailed,
    "NOT_INITIALIZED": ClientClosed,
    "NOT_IN_CHANNEL": NotInChannel,
    "NOT_LOGGED_IN": NotLoggedIn,
    "NOT_READY": ServerFailure,
    "NOT_STARTED": InvitationNotStarted,
    "OVERFLOW": LimitExceeded,
    "PEER_UNREACHABLE": PeerUnreachable,
    "REJECTED": Rejected,
    "SIZE_OVERFLOW": LimitExceeded,
    "TIMEOUT": RequestTimeout,
    "TOKEN_EXPIRED": TokenExpired,
    "TOO_OFTEN": RateLimited,
    "UNKNOWN": ServerFailure,
    "USER_NOT_FOUND": UserNotFound,
}

#: Families in which one name means something else.
_CLASS_OF_NAME_IN: Final[dict[type[IntEnum], dict[str, type[RtmError]]]] = {
    ServiceContextError: {"FAILURE": StateError},
    InitError: {"FAILURE": ConnectionFailed},
    UploadMediaError: {"FAILURE": TransferFailed},
    DownloadMediaError: {"FAILURE": TransferFailed},
    CancelMediaError: {"FAILURE": TransferFailed},
    LocalInvitationError: dict.fromkeys(LocalInvitationError.__members__, InvitationFailed),
    RemoteInvitationError: dict.fromkeys(RemoteInvitationError.__members__, InvitationFailed),
    RoomErrorCode: {
        "ACCESS_TOKEN_INVALID": InvalidToken,
        "ACCESS_TOKEN_HEADER_INVALID": InvalidToken,
        "ACCESS_TOKEN_ISSUER_INVALID": InvalidToken,
        "ACCESS_TOKEN_EXPIRED": TokenExpired,
        "ACCESS_TOKEN_NOT_YET_VALID": InvalidToken,
        "ACCESS_TOKEN_GRANTS_INVALID": NotAuthorized,
        "ACCESS_TOKEN_SIGNATURE_INVALID": InvalidToken,
        "SIGNALING_CONNECTION": ConnectionFailed,
        "SIGNALING_CONNECTION_DISCONNECTED": ConnectionFailed,
        "SIGNALING_CONNECTION_TIMEOUT": ConnectionFailed,
        "SIGNALING_INCOMING_MESSAGE_INVALID": RemoteProtocolError,
        "SIGNALING_OUTGOING_MESSAGE_INVALID": LocalProtocolError,
        "SIGNALING_SERVER_BUSY": ServerFailure,
        "ROOM_NAME_INVALID": InvalidArgument,
        "ROOM_NAME_TOO_LONG": InvalidArgument,
        "ROOM_NAME_CHARS_INVALID": InvalidArgument,
        "ROOM_CREATE_FAILED": ServerFailure,
        "ROOM_CONNECT_FAILED": ServerFailure,
        "ROOM_MAX_PARTICIPANTS_EXCEEDED": LimitExceeded,
        "ROOM_NOT_FOUND": StateError,
        "ROOM_MAX_PARTICIPANTS_OUT_OF_RANGE": InvalidArgument,
        "ROOM_TYPE_INVALID": InvalidArgument,
        "ROOM_TIMEOUT_OUT_OF_RANGE": InvalidArgument,
        "ROOM_STATUS_CALLBACK_METHOD_INVALID": InvalidArgument,
        "ROOM_STATUS_CALLBACK_INVALID": InvalidArgument,
        "ROOM_STATUS_INVALID": StateError,
        "ROOM_ROOM_EXISTS": StateError,
        "ROOM_INVALID_PARAMETERS": InvalidArgument,
        "ROOM_MEDIA_REGION_INVALID": InvalidArgument,
        "ROOM_MEDIA_REGION_UNAVAILABLE": ServerFailure,
        "ROOM_SUBSCRIPTION_OPERATION_NOT_SUPPORTED": InvalidArgument,
        "ROOM_COMPLETED": StateError,
        "ROOM_AUDIO_ONLY_FLAG_NOT_SUPPORTED": InvalidArgument,
        "ROOM_TRACK_KIND_NOT_SUPPORTED": InvalidArgument,
        "PARTICIPANT_IDENTITY_INVALID": InvalidArgument,
        "PARTICIPANT_IDENTITY_TOO_LONG": InvalidArgument,
        "PARTICIPANT_IDENTITY_CHARS_INVALID": InvalidArgument,
        "PARTICIPANT_MAX_TRACKS_EXCEEDED": LimitExceeded,
        "PARTICIPANT_NOT_FOUND": UserNotFound,
        "PARTICIPANT_DUPLICATE_IDENTITY": Aborted,
        "TRACK_INVALID": InvalidArgument,
        "TRACK_NAME_INVALID": InvalidArgument,
        "TRACK_NAME_TOO_LONG": InvalidArgument,
        "TRACK_NAME_CHARS_INVALID": InvalidArgument,
        "TRACK_NAME_IS_DUPLICATED": InvalidArgument,
        "TRACK_SERVER_TRACK_CAPACITY_REACHED": ServerFailure,
        "MEDIA_CLIENT_LOCAL_DESC_FAILED": ConnectionFailed,
        "MEDIA_SERVER_LOCAL_DESC_FAILED": ConnectionFailed,
        "MEDIA_CLIENT_REMOTE_DESC_FAILED": ConnectionFailed,
        "MEDIA_SERVER_REMOTE_DESC_FAILED": ConnectionFailed,
        "MEDIA_NO_SUPPORTED_CODEC": InvalidArgument,
        "MEDIA_CONNECTION": ConnectionFailed,
        "MEDIA_DTLS_TRANSPORT_FAILED": TlsError,
        "CONFIGURATION_ACQUIRE_FAILED": ServerFailure,
        "CONFIGURATION_ACQUIRE_TURN_FAILED": ServerFailure,
    },
}

#: Codes that report how a call ended well.
_RESULTS: Final = frozenset({"OK", "CACHED_BY_SERVER"})

#: Operations that change something at the server: after a timeout it may have happened.
_CHANGES_SOMETHING: Final[frozenset[type[IntEnum]]] = frozenset(
    {
        SendPeerMessageError,
        SendChannelMessageError,
        JoinChannelError,
        AttributeOperationError,
        PeerSubscriptionStatusError,
        UploadMediaError,
    }
)


def error_class(code: IntEnum) -> type[RtmError]:
    """The exception class that stands for a documented error code.

    Args:
        code: A member of one of the ERROR_FAMILIES.

    Returns:
        The one class that a failure with this code is raised as.

    Raises:
        ValueError: ``code`` is a result (OK, CACHED_BY_SERVER) or not a documented error code.
    """
    if type(code) in ERROR_FAMILIES and code.name not in _RESULTS:
        own = _CLASS_OF_NAME_IN.get(type(code), {})
        found = own.get(code.name) or _CLASS_OF_NAME.get(code.name)
        if found is not None:
            return found
    raise ValueError(f"{type(code).__name__}.{code.name} is not an error code that an exception stands for.")


def error_for(
    code: IntEnum,
    message: str,
    *,
    operation: str,
    state: str | None = None,
    retry_after: float | None = None,
    request_id: int | None = None,
    outcome_unknown: bool | None = None,
) -> RtmError:
    """Build the exception for a documented error code.

    Args:
        code: A member of one of the ERROR_FAMILIES.
        message: One sentence: what happened, with its cause.
        operation: Name of the method that failed.
        state: Name of the connection state at that moment.
        retry_after: Seconds after which another try may succeed.
        request_id: Number of the request on the wire.
        outcome_unknown: For timeouts only: whether the request may have been carried out. By default True for
            operations that change something (sends, join, attributes, subscriptions, uploads), else False; a core
            that knows that the bytes never left says False.

    Returns:
        The exception, ready to be raised.

    Raises:
        ValueError: ``code`` is a result (OK, CACHED_BY_SERVER) or not a documented error code.
    """
    kind = error_class(code)
    error = kind(
        message, code=code, operation=operation, state=state, retry_after=retry_after, request_id=request_id
    )
    if isinstance(error, RequestTimeout):
        error.outcome_unknown = (
            type(code) in _CHANGES_SOMETHING if outcome_unknown is None else outcome_unknown
        )
    return error
