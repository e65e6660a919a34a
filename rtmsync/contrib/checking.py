"""What settings come to when they are tried: the server over HTTP, a token, a login, and whether the listener runs."""

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from rtmcore.errors import RtmError
from rtmsync.config import Secret
from rtmsync.contrib.connections import Connections
from rtmsync.exits import ExitCode, exit_code

OK: Final = "ok"
FAILED: Final = "FAIL"
SKIPPED: Final = "-"

_NOBODY: Final = "check"


@attrs.frozen
class Finding:
    """What came out of a step.

    Attributes:
        step: What was tried.
        mark: `OK`, `FAILED`, or `SKIPPED` for what does not concern these settings, or is not there and need not be.
        text: A sentence or two.
        status: The exit status that a failure stands for.
    """

    step: str
    mark: str
    text: str
    status: ExitCode = ExitCode.OK


def try_settings(connections: Connections) -> Iterator[Finding]:
    """Try settings step by step, with the connections of a process that has nothing else to do.

    Where TOKEN is one user's token nobody is logged in: that would put out whoever uses it.

    Args:
        connections: To be closed by the caller.
    """
    settings = connections.settings
    if settings.server_key is None:
        yield Finding("publish over HTTP", SKIPPED, "SERVER_KEY is not set, so a session is used")
    else:
        yield _tried("publish over HTTP", lambda: _publisher(connections))
    if settings.makes_tokens:
        yield _tried("make a token", lambda: f"{len(connections.token_for(_NOBODY))} characters")
    else:
        yield Finding("make a token", SKIPPED, "neither SECRET nor a function in TOKEN is set")
    if isinstance(settings.token, Secret):
        yield Finding("log in", SKIPPED, "TOKEN is the token of one user, who may be logged in")
        return
    login = _tried("log in", lambda: f"as {connections.client.user_id}")
    yield login
    if settings.listener is None:
        yield Finding("listener", SKIPPED, "LISTENER is not set")
    elif login.mark == OK:
        yield _listener(connections, settings.listener)


def _tried(step: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(step, OK, attempt())
    except RtmError as error:
        return _failed(step, error)


def _failed(step: str, error: RtmError) -> Finding:
    return Finding(step, FAILED, f"{error.message} {error.hint or ''}".rstrip(), exit_code(error))


def _publisher(connections: Connections) -> str:
    connections.publisher.member_counts([_NOBODY])
    return "the server takes the key"


def _listener(connections: Connections, name: str) -> Finding:
    try:
        (found,) = connections.client.query_presence([name])
    except RtmError as error:
        return _failed("listener", error)
    if found.online:
        return Finding("listener", OK, f"{name} is online")
    return Finding("listener", SKIPPED, f"{name} is not running, so nobody handles what arrives")
