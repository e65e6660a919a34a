"""Orders to a running server from other threads of its program, which wait until they are carried out."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeAlias

from rtmcore.errors import InvalidArgument, LimitExceeded, ServerFailure, StateError, WouldDeadlock
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import BAN_REASON_LENGTH
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.node import Node
from rtmcore.service.orders import Report
from rtmsync.server.config import ServerConfig
from rtmsync.server.loop import ServerLoop

_Outcome: TypeAlias = concurrent.futures.Future[Settled | Refusal]
_Submit: TypeAlias = Callable[[Node, float, Report], None]


class Orders:
    """Brings orders to the thread that serves, and their outcome back.

    Args:
        config: The server's settings.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._loop: ServerLoop | None = None
        self._node: Node | None = None
        self._serving: int | None = None
        """The thread that serves."""
        self._over = False
        self._waiting: set[_Outcome] = set()

    # --- The server's life --------------------------------------------------------

    def open(self, loop: ServerLoop, node: Node) -> None:
        """Orders can be given from now on; they are carried out once the loop runs."""
        self._loop, self._node = loop, node

    def reload(self, config: ServerConfig) -> None:
        """Go on with other settings."""
        self._config = config

    def begin(self) -> None:
        """The calling thread is the one that serves."""
        self._serving = threading.get_ident()

    def end(self) -> None:
        """Nobody serves any more: whoever waits is told."""
        with self._lock:
            self._over = True
            self._serving = None
            waiting, self._waiting = self._waiting, set()
        for outcome in waiting:
            outcome.cancel()

    # --- Orders -------------------------------------------------------------------

    def ban(self, app: str, user: str, reason: str, timeout: float) -> None:
        """See `Server.ban`."""
        self._check(app, user, "ban")
        if len(reason) > BAN_REASON_LENGTH or not _is_text(reason):
            raise InvalidArgument(
                f"The reason of a ban is a text of at most {BAN_REASON_LENGTH} characters.", operation="ban"
            )
        text = f"The user is banned: {reason}" if reason else "The user is banned."
        self._give("ban", lambda node, now, report: node.ban(app, user, text, now, report), timeout)

    def unban(self, app: str, user: str, timeout: float) -> None:
        """See `Server.unban`."""
        self._check(app, user, "unban")
        self._give("unban", lambda node, now, report: node.unban(app, user, now, report), timeout)

    def _check(self, app: str, user: str, operation: str) -> None:
        if app not in {each.app for each in self._config.apps}:
            raise InvalidArgument("The server does not hold this app id.", operation=operation)
        wrong = explain_invalid_id(user, "user id")
        if wrong is not None:
            raise InvalidArgument(wrong, operation=operation)

    def _give(self, operation: str, submit: _Submit, timeout: float) -> None:
        """Have the serving thread submit an order, and wait for its outcome."""
        loop, node = self._loop, self._node
        if loop is None or node is None:
            raise StateError("The server is not running.", operation=operation, hint="Call start() first.")
        if self._serving == threading.get_ident():
            raise WouldDeadlock(
                "The thread that serves cannot wait for itself.",
                operation=operation,
                hint="Call from another thread.",
            )
        outcome: _Outcome = concurrent.futures.Future()
        with self._lock:
            if self._over:
                raise StateError("The server has stopped.", operation=operation, hint="Start another one.")
            self._waiting.add(outcome)
        loop.call(lambda now: submit(node, now, outcome.set_result))
        try:
            value = outcome.result(timeout)
        except concurrent.futures.TimeoutError as error:
            raise ServerFailure(
                f"The server has not done it within {timeout:g} s; it may do so later.", operation=operation
            ) from error
        except concurrent.futures.CancelledError as error:
            raise ServerFailure(
                "The server stopped before it said that this is done.", operation=operation
            ) from error
        finally:
            with self._lock:
                self._waiting.discard(outcome)
        if isinstance(value, Refusal):
            kind = LimitExceeded if value.code is Trouble.FULL else ServerFailure
            raise kind(value.text, operation=operation, retry_after=value.retry_after)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
