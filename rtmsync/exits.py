"""What the exit status of a command says, so that scripts need not read its sentences."""

from collections.abc import Iterator
from enum import IntEnum

from rtmcore.codes import ConnectionChangeReason
from rtmcore.errors import Aborted, AuthError, ConnectionFailed, InvalidArgument, RateLimited, RequestTimeout


class ExitCode(IntEnum):
    """Exit status of `rtm` and of the commands of the integrations."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    AUTH = 3
    TIMEOUT = 4
    RATE_LIMITED = 5
    NOT_REACHABLE = 6
    INTERRUPTED = 130


_REFUSED = frozenset({ConnectionChangeReason.BANNED_BY_SERVER, ConnectionChangeReason.TOKEN_EXPIRED})


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what brought it about, outermost first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def exit_code(error: BaseException) -> ExitCode:
    """The exit status for an error that ends a command.

    A time-out whose cause is a connection that did not come about counts as not reachable.

    Args:
        error: Whatever was raised.
    """
    for one in causes(error):
        if isinstance(one, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if isinstance(one, AuthError) or (isinstance(one, Aborted) and one.reason in _REFUSED):
            return ExitCode.AUTH
        if isinstance(one, RateLimited):
            return ExitCode.RATE_LIMITED
        if isinstance(one, ConnectionFailed):
            return ExitCode.NOT_REACHABLE
    if isinstance(error, RequestTimeout):
        return ExitCode.TIMEOUT
    if isinstance(error, InvalidArgument):
        return ExitCode.USAGE
    return ExitCode.FAILURE
