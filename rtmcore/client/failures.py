"""What the end of a transport means: which error it is, and whether coming back makes sense."""

import copy
from enum import IntEnum
from typing import Final

from rtmcore.client.config import ClientConfig
from rtmcore.client.kinds import Kind
from rtmcore.client.requests import Operation
from rtmcore.codes import (
    CloseCode,
    ConnectionChangeReason,
    LoginError,
    LogoutError,
    RenewTokenError,
    RoomErrorCode,
)
from rtmcore.connection.model import Effect, Input, Model, Reason, State
from rtmcore.errors import (
    Aborted,
    AlreadyLoggedIn,
    AuthError,
    Banned,
    ClientClosed,
    ConnectionFailed,
    InvalidArgument,
    NotLoggedIn,
    RateLimited,
    RemoteProtocolError,
    RequestTimeout,
    RtmError,
    TlsError,
    error_for,
)
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import LOGIN_RATE, RateLimit
from rtmcore.wire.framing import ABNORMAL_CLOSURE
from rtmcore.wire.handshake import HandshakeRefused
from rtmcore.wire.packets import Refused
from rtmcore.wire.proxy import ProxyRefused
from rtmcore.wire.transport import Closed

_COME_BACK: Final = range(4000, 4500)
_STOP: Final = range(4500, 5000)
_MILLISECONDS: Final = 1000

BYTES_REFUSED: Final = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.INVALID_DATA,
        CloseCode.TOO_BIG,
        CloseCode.MALFORMED,
        CloseCode.TOO_LARGE,
    }
)
"""Close codes by which a server calls what it was sent malformed or too large."""

ENDING_CLOSES: Final[dict[int, Input]] = {
    CloseCode.REMOTE_LOGIN: Input.REMOTE_LOGIN,
    CloseCode.BANNED: Input.BANNED,
    CloseCode.TOKEN_EXPIRED: Input.TOKEN_EXPIRED,
}
"""Close codes by which a server ends a session for good."""

ENDING_REASONS: Final[dict[int, Input]] = {
    ConnectionChangeReason.REMOTE_LOGIN: Input.REMOTE_LOGIN,
    ConnectionChangeReason.BANNED_BY_SERVER: Input.BANNED,
    ConnectionChangeReason.TOKEN_EXPIRED: Input.TOKEN_EXPIRED,
}
"""The same in the packet before the close."""

_LOGIN_CODES: Final = {
    CloseCode.REMOTE_LOGIN: LoginError.REJECTED,
    CloseCode.TOKEN_EXPIRED: LoginError.TOKEN_EXPIRED,
}

_REFUSALS: Final = {
    LoginError.INVALID_APP_ID: Input.INVALID_APP_ID,
    LoginError.INVALID_ARGUMENT: Input.INVALID_NAME,
    LoginError.INVALID_TOKEN: Input.INVALID_TOKEN,
    LoginError.TOKEN_EXPIRED: Input.TOKEN_EXPIRED,
}

_ROOM_CODES: Final = {
    LoginError.INVALID_TOKEN: RoomErrorCode.ACCESS_TOKEN_INVALID,
    LoginError.TOKEN_EXPIRED: RoomErrorCode.ACCESS_TOKEN_EXPIRED,
    LoginError.NOT_AUTHORIZED: RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID,
    LoginError.INVALID_ARGUMENT: RoomErrorCode.ROOM_CONNECT_FAILED,
    LoginError.TOO_OFTEN: RoomErrorCode.SIGNALING_SERVER_BUSY,
}

_RENEWAL_CODES: Final = {
    LoginError.INVALID_TOKEN: RenewTokenError.INVALID_TOKEN,
    LoginError.NOT_AUTHORIZED: RenewTokenError.INVALID_TOKEN,
    LoginError.TOKEN_EXPIRED: RenewTokenError.TOKEN_EXPIRED,
}


def close_error(closed: Closed) -> RtmError:
    """Why a transport ended, as an error to name as the cause."""
    if closed.error is not None:
        return closed.error
    if closed.code == ABNORMAL_CLOSURE:
        return ConnectionFailed("The connection ended without a word from the server.")
    try:
        name = f"{closed.code} {CloseCode(closed.code).name}"
    except ValueError:
        name = str(closed.code)
    text = f": {closed.reason}" if closed.reason and not closed.reason.startswith("{") else ""
    return ConnectionFailed(
        f"The server closed the connection with {name}{text}.", retry_after=closed.retry_after
    )


def broken(error: Exception) -> RtmError:
    """Why a transport is lost: an error of this library as it is, what a socket raised as the cause of one."""
    if isinstance(error, RtmError):
        return error
    failed = ConnectionFailed(f"The connection failed: {_in_words(error)}.")
    failed.__cause__ = error
    return failed


def without_token(error: Exception) -> RtmError:
    """Why there is no token: an error of this library as it is, another one as its cause."""
    if isinstance(error, RtmError):
        return error
    failed = AuthError(f"The token provider failed: {_in_words(error)}.", operation="token")
    failed.__cause__ = error
    return failed


def _in_words(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def silence_error(seconds: float) -> ConnectionFailed:
    """Nothing was heard for so long."""
    return ConnectionFailed(f"Nothing was heard from the server for {seconds:.3g} s.")


def attempt_timeout_error(seconds: float, progress: str) -> ConnectionFailed:
    """An attempt was not welcomed in time.

    Args:
        seconds: That it took.
        progress: What was waited for.
    """
    return ConnectionFailed(f"After {seconds:.3g} s {progress}.")


def give_up_error(seconds: float, cause: RtmError | None) -> ConnectionFailed:
    """The session could not be brought back within the time that there is."""
    why = "" if cause is None else f" The last attempt failed: {cause.message}"
    error = ConnectionFailed(f"The connection did not come back within {seconds:.3g} s.{why}")
    error.__cause__ = cause
    return error


def refused_with(refusal: Refused) -> LoginError:
    """The code of a server's answer to a hello."""
    try:
        code = LoginError(refusal.code)
    except ValueError:
        return LoginError.UNKNOWN
    return LoginError.UNKNOWN if code is LoginError.OK else code


def refusal_error(refusal: Refused, login: Operation, state: State) -> RtmError:
    """The server's answer to a hello, as the documented error of a login.

    Args:
        refusal: The answer.
        login: The call that logs in; a room's has codes of its own.
        state: The connection state.
    """
    code = _code_of(login, refused_with(refusal))
    if refusal.detail and login.codes is RoomErrorCode:
        code = login.code(refusal.detail)
    return error_for(
        code,
        refusal.text or "The server refused the login.",
        operation=login.name,
        state=state.name,
        retry_after=None if refusal.retry is None else refusal.retry / _MILLISECONDS,
    )


def _code_of(login: Operation, code: LoginError) -> IntEnum:
    return code if login.codes is LoginError else _ROOM_CODES.get(code, login.failure)


def renewal_code(refusal: Refused) -> RenewTokenError | None:
    """What a refused hello says of a renewed token that it carried; None where the token is not the reason."""
    return _RENEWAL_CODES.get(refused_with(refusal))


def _is_answer(closed: Closed) -> bool:
    """Whether a refusal stands; the close code behind it may ask to come back instead."""
    return closed.code not in _COME_BACK


def final_at_return(closed: Closed, refusal: Refused | None, final: frozenset[LoginError]) -> Input | None:
    """What ends a session whose return was refused; None where another attempt may succeed.

    Args:
        closed: How the attempt ended.
        refusal: What the server had said before.
        final: The refusals that end a session.
    """
    if refusal is None or not _is_answer(closed) or refused_with(refusal) not in final:
        return None
    return _REFUSALS.get(refused_with(refusal), Input.REFUSED)


def final_at_login(
    closed: Closed, refusal: Refused | None, login: Operation, state: State
) -> tuple[Input, RtmError] | None:
    """What ends a login at once, and its error; None where another attempt may succeed.

    Args:
        closed: How the attempt ended.
        refusal: What the server had said before.
        login: The call that logs in.
        state: The connection state.
    """
    if refusal is not None and _is_answer(closed):
        if closed.code == CloseCode.BANNED:
            code = _code_of(login, LoginError.REJECTED)
            return Input.BANNED, Banned(refusal.text, code=code, operation=login.name, state=state.name)
        return _REFUSALS.get(refused_with(refusal), Input.REFUSED), refusal_error(refusal, login, state)
    if closed.error is not None:
        final = _final_failure_at_login(closed.error, login, state)
        return None if final is None else (Input.LOGIN_FAILED, final)
    if closed.code not in _STOP:
        return None
    cause = close_error(closed)
    if closed.code == CloseCode.BANNED:
        code = _code_of(login, LoginError.REJECTED)
        error: RtmError = Banned("The user is banned.", code=code, operation=login.name, state=state.name)
    else:
        codes = (code for close, code in _LOGIN_CODES.items() if close == closed.code)
        code = _code_of(login, next(codes, LoginError.UNKNOWN))
        error = error_for(code, cause.message, operation=login.name, state=state.name)
    error.__cause__ = cause
    return ENDING_CLOSES.get(closed.code, Input.REFUSED), error


def _final_failure_at_login(error: RtmError, login: Operation, state: State) -> RtmError | None:
    """The error of a login where a transport failed in a way that the next one would repeat; otherwise None.

    That is a refusal by TLS or HTTP, and a server that speaks another protocol. Its class and words are kept.
    """
    if not isinstance(error, TlsError | HandshakeRefused | ProxyRefused | RemoteProtocolError):
        return None
    return _as_login_error(error, login, state)


def _as_login_error(error: RtmError, login: Operation, state: State) -> RtmError:
    final = copy.copy(error)
    final.code = login.failure
    if login.codes is RoomErrorCode and isinstance(error, RemoteProtocolError):
        final.code = RoomErrorCode.SIGNALING_INCOMING_MESSAGE_INVALID
    final.operation = login.name
    final.state = state.name
    final.__cause__ = error
    return final


def attempts_error(cause: RtmError, login: Operation, state: State) -> RtmError:
    """No attempt is left to a login; its class and words are those of the last one's failure."""
    return _as_login_error(cause, login, state)


def login_timeout_error(
    seconds: float, attempts: int, cause: RtmError | None, login: Operation, state: State
) -> RtmError:
    """No login in time, with what the last attempt failed of."""
    why = "the server gave no answer" if cause is None else cause.message
    plural = "" if attempts == 1 else "s"
    error = RequestTimeout(
        f"No login within {seconds:.3g} s, in {attempts} attempt{plural}. The last failed: {why}",
        code=login.timeout,
        operation=login.name,
        state=state.name,
    )
    error.__cause__ = cause
    return error


def name_refusal(config: ClientConfig, login: Operation, state: State) -> RtmError | None:
    """Why the channel of a join is none; None where the server may be asked."""
    wrong = explain_invalid_id(config.scope, "channel id") if config.kind == "rtc" else None
    if wrong is None:
        return None
    return InvalidArgument(wrong, code=login.invalid, operation=login.name, state=state.name)


def logout_error(login: Operation, logout: Operation, state: State) -> RtmError:
    """A login that was cut short by a logout."""
    return error_for(
        _code_of(login, LoginError.ABORTED_BY_LOGOUT),
        f"{logout.name}() was called during {login.name}().",
        operation=login.name,
        state=state.name,
    )


def closed_error(operation: Operation) -> ClientClosed:
    """The client object was closed (101)."""
    return ClientClosed(
        "The client is closed.", code=operation.code(LogoutError.NOT_INITIALIZED), operation=operation.name
    )


def not_logged_in_error(
    operation: Operation,
    kind: Kind,
    model: Model,
    state: State,
    reason: Reason | None,
    *,
    leaving: bool = False,
) -> RtmError:
    """A call needs a login, and there is none (102).

    Args:
        operation: The call.
        kind: The kind of session, which names the calls that help.
        model: The connection model.
        state: The connection state.
        reason: Why it was entered.
        leaving: Whether a goodbye was said already.
    """
    code = operation.code(LogoutError.NOT_LOGGED_IN)
    if state is model.ended:
        why = "" if reason is None else f" ({reason.name})"
        return Aborted(
            f"The session has ended{why}.",
            reason=reason,
            code=code,
            operation=operation.name,
            state=state.name,
            hint=kind.after_the_end,
        )
    text = "The client is logging out." if leaving else "The client is not logged in."
    hint = f"Call {kind.login.name}() and wait for it to succeed first."
    return NotLoggedIn(text, code=code, operation=operation.name, state=state.name, hint=hint)


def login_refusal(
    login: Operation,
    model: Model,
    state: State,
    rate: RateLimit = LOGIN_RATE,
    rate_wait: float | None = None,
) -> RtmError | None:
    """Why a login cannot be made now: 8, 10, or None where it can.

    Args:
        login: The call that logs in.
        model: The connection model.
        state: The connection state.
        rate: The rate of logins in force.
        rate_wait: Seconds until it admits a login; None where it does.
    """
    if model.table.rule(state, Input.LOGIN).effect is Effect.REFUSE_LOGIN:
        return AlreadyLoggedIn(
            f"The client is {state.name}.",
            code=_code_of(login, LoginError.ALREADY_LOGIN),
            operation=login.name,
            state=state.name,
        )
    too_often = model.table.rule(state, Input.LOGIN_TOO_OFTEN).effect is Effect.REFUSE_RATE
    if rate_wait is not None and too_often:
        return RateLimited(
            f"Called more often than {rate}.",
            code=login.too_often,
            operation=login.name,
            state=state.name,
            retry_after=rate_wait,
        )
    return None
