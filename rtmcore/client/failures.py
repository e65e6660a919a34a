"""What the end of a transport means: which error it is, and whether coming back makes sense."""

import copy
from typing import Final

from rtmcore.client.requests import LOGIN, Operation
from rtmcore.codes import CloseCode, ConnectionChangeReason, ConnectionState, LoginError, LogoutError
from rtmcore.connection.rtm import RTM_TABLE, RtmEffect, RtmInput
from rtmcore.errors import (
    Aborted,
    Banned,
    ClientClosed,
    ConnectionFailed,
    NotLoggedIn,
    RemoteProtocolError,
    RtmError,
    TlsError,
    error_for,
)
from rtmcore.limits import LOGIN_RATE
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

_LOGIN_CODES: Final = {
    CloseCode.REMOTE_LOGIN: LoginError.REJECTED,
    CloseCode.TOKEN_EXPIRED: LoginError.TOKEN_EXPIRED,
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


def refusal_error(refusal: Refused, state: ConnectionState) -> RtmError:
    """The server's answer to a hello, as the documented error of a login."""
    try:
        code = LoginError(refusal.code)
    except ValueError:
        code = LoginError.UNKNOWN
    if code is LoginError.OK:
        code = LoginError.UNKNOWN
    return error_for(
        code,
        refusal.text or "The server refused the login.",
        operation=LOGIN.name,
        state=state.name,
        retry_after=None if refusal.retry is None else refusal.retry / _MILLISECONDS,
    )


def final_at_login(closed: Closed, refusal: Refused | None) -> RtmError | None:
    """The error that ends a login at once; None where another attempt may succeed.

    Args:
        closed: How the attempt ended.
        refusal: What the server had said before.
    """
    state = ConnectionState.CONNECTING
    if refusal is not None and closed.code not in _COME_BACK:
        if closed.code == CloseCode.BANNED:
            return Banned(refusal.text, code=LoginError.REJECTED, operation=LOGIN.name, state=state.name)
        return refusal_error(refusal, state)
    if closed.error is not None:
        return _final_failure_at_login(closed.error)
    if closed.code not in _STOP:
        return None
    cause = close_error(closed)
    if closed.code == CloseCode.BANNED:
        error: RtmError = Banned(
            "The user is banned.", code=LoginError.REJECTED, operation=LOGIN.name, state=state.name
        )
    else:
        code = next(
            (code for close, code in _LOGIN_CODES.items() if close == closed.code), LoginError.UNKNOWN
        )
        error = error_for(code, cause.message, operation=LOGIN.name, state=state.name)
    error.__cause__ = cause
    return error


def _final_failure_at_login(error: RtmError) -> RtmError | None:
    """The error of a login where a transport failed in a way that the next one would repeat; otherwise None.

    That is a refusal by TLS or HTTP, and a server that speaks another protocol. Its class and words are kept.
    """
    if not isinstance(error, TlsError | HandshakeRefused | ProxyRefused | RemoteProtocolError):
        return None
    final = copy.copy(error)
    final.code = LoginError.UNKNOWN
    final.operation = LOGIN.name
    final.state = ConnectionState.CONNECTING.name
    final.__cause__ = error
    return final


def login_timeout_error(seconds: float, attempts: int, cause: RtmError | None) -> RtmError:
    """No login in time, with what the last attempt failed of."""
    why = "the server gave no answer" if cause is None else cause.message
    plural = "" if attempts == 1 else "s"
    error = error_for(
        LoginError.TIMEOUT,
        f"No login within {seconds:.3g} s, in {attempts} attempt{plural}. The last failed: {why}",
        operation=LOGIN.name,
        state=ConnectionState.CONNECTING.name,
    )
    error.__cause__ = cause
    return error


def closed_error(operation: Operation) -> ClientClosed:
    """The client object was closed (101)."""
    return ClientClosed(
        "The client is closed.", code=operation.code(LogoutError.NOT_INITIALIZED), operation=operation.name
    )


def not_logged_in_error(
    operation: Operation,
    state: ConnectionState,
    reason: ConnectionChangeReason | None,
    *,
    leaving: bool = False,
) -> RtmError:
    """A call needs a login, and there is none (102).

    Args:
        operation: The call.
        state: The connection state.
        reason: Why it was entered.
        leaving: Whether a goodbye was said already.
    """
    code = operation.code(LogoutError.NOT_LOGGED_IN)
    if state is ConnectionState.ABORTED:
        why = "" if reason is None else f" ({reason.name})"
        return Aborted(
            f"The server has ended the session{why}.",
            reason=reason,
            code=code,
            operation=operation.name,
            state=state.name,
        )
    text = "The client is logging out." if leaving else "The client is not logged in."
    return NotLoggedIn(text, code=code, operation=operation.name, state=state.name)


def login_refusal(state: ConnectionState, rate_wait: float | None) -> RtmError | None:
    """Why a login cannot be made now: 8, 10, or None where it can.

    Args:
        state: The connection state.
        rate_wait: Seconds until the documented rate admits a login; None where it does.
    """
    if RTM_TABLE.rule(state, RtmInput.LOGIN).effect is RtmEffect.REFUSE_LOGIN:
        return error_for(
            LoginError.ALREADY_LOGIN,
            f"The client is {state.name}.",
            operation=LOGIN.name,
            state=state.name,
        )
    too_often = RTM_TABLE.rule(state, RtmInput.LOGIN_TOO_OFTEN).effect is RtmEffect.REFUSE_RATE
    if rate_wait is not None and too_often:
        return error_for(
            LoginError.TOO_OFTEN,
            f"Called more often than {LOGIN_RATE}.",
            operation=LOGIN.name,
            state=state.name,
            retry_after=rate_wait,
        )
    return None
