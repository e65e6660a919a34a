"""Threads that live only while they do one thing that may take its time: look up a name, or get a token."""

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from rtmcore.errors import AuthError, ConnectionFailed, NameResolutionError, RequestTimeout, RtmError
from rtmcore.limits import HELPER_THREADS, TOKEN_PROVIDER_TIMEOUT
from rtmsync.driver.sockets import Address

logger: Final = logging.getLogger("rtmsync")

Post = Callable[[Callable[[float], None]], None]
"""Has a function run by the network thread, with the lock and with the time."""


class Helpers:
    """Starts short-lived threads and brings their results to the network thread.

    All methods belong to the network thread.

    Args:
        user: Appears in the threads' names.
        post: How results come back.

    Attributes:
        providers: Identifiers of the threads that run the application's token provider at the moment.
    """

    __slots__ = ("_flights", "_post", "_user", "providers")

    def __init__(self, user: str, post: Post) -> None:
        self._user = user
        self._post = post
        self._flights: dict[object, list[Callable[[Any, BaseException | None, float], None]]] = {}
        self.providers: set[int] = set()

    def run(
        self,
        key: object,
        role: str,
        work: Callable[[], Any],
        then: Callable[[Any, BaseException | None, float], None],
    ) -> None:
        """Do something on a thread of its own, unless the same thing is being done already: then share its result.

        Args:
            key: What makes it the same thing.
            role: Appears in the thread's name.
            work: What to do there.
            then: Gets the result, or the exception, and the time; run by the network thread with the lock.

        Raises:
            ConnectionFailed: As many as `limits.HELPER_THREADS` hang already, or the system gives no thread.
        """
        if key in self._flights:
            self._flights[key].append(then)
            return
        if len(self._flights) >= HELPER_THREADS:
            raise ConnectionFailed(
                f"{len(self._flights)} name look-ups and token calls of this client hang already.",
                hint="Check the system's name servers, and the token provider.",
            )

        def run() -> None:
            result: Any = None
            failure: BaseException | None = None
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
                failure = error
            self._post(lambda now: self._land(key, result, failure, now))

        self._flights[key] = [then]
        try:
            self._launch(run, f"rtm-{role}-{self._user}")
        except RuntimeError as error:
            del self._flights[key]
            raise ConnectionFailed(f"No thread could be started for the {role}: {error}.") from error

    def _launch(self, run: Callable[[], None], name: str) -> None:
        threading.Thread(target=run, name=name, daemon=True).start()

    def _land(self, key: object, result: Any, failure: BaseException | None, now: float) -> None:
        for then in self._flights.pop(key):
            then(result, failure, now)


def addresses_of(host: str, port: int, *, numeric: bool = False) -> list[Address]:
    """Look up a name.

    Args:
        host: Name or address.
        port: 1 to 65535.
        numeric: Only read an address, which never waits.

    Raises:
        OSError: There is no such name, or nobody who knows.
    """
    flags = socket.AI_NUMERICHOST if numeric else 0
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def is_address(host: str) -> bool:
    """Whether a host is given by its address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def unresolved(host: str, error: BaseException) -> NameResolutionError:
    """The error for a name that could not be looked up."""
    failure = NameResolutionError(
        f"The name {host!r} could not be resolved: {getattr(error, 'strerror', None) or error}.",
        hint="Check the spelling, and that a name server can be reached.",
    )
    failure.__cause__ = error
    return failure


class TokenSource:
    """Brings tokens: a fixed one at once, those of a provider through a thread of their own.

    A token that comes after its time, or that nobody waits for any more, is kept for the next question.

    Args:
        source: A token, None where the server wants none, or a function of user id and reason that returns one.
        user: Whose token it is.
        helpers: Where the provider is called.
    """

    __slots__ = ("_answer", "_calling", "_due", "_helpers", "_late", "_source", "_user")

    def __init__(
        self, source: "str | Callable[[str, str], str | None] | None", user: str, helpers: Helpers
    ) -> None:
        self._source = source
        self._user = user
        self._helpers = helpers
        self._answer: Callable[[str | None, RtmError | None, float], None] | None = None
        self._due: float | None = None
        self._late: str | None = None
        self._calling = False

    def ask(
        self, reason: str, answer: Callable[[str | None, RtmError | None, float], None], now: float
    ) -> None:
        """Get a token.

        Args:
            reason: Why, for the provider.
            answer: Gets the token or the error, and the time; at once or later.
            now: The time.
        """
        provider = self._source
        if not callable(provider):
            answer(provider, None, now)
            return
        if self._late is not None:
            token, self._late = self._late, None
            answer(token, None, now)
            return
        self._answer = answer
        self._due = now + TOKEN_PROVIDER_TIMEOUT
        user = self._user

        def call() -> str | None:
            ident = threading.get_ident()
            self._helpers.providers.add(ident)
            try:
                return provider(user, reason)
            except Exception:
                logger.exception("The token provider of %s has failed.", user)
                raise
            finally:
                self._helpers.providers.discard(ident)

        if self._calling:
            return  # the answer to the last question is still on its way, and will do for this one
        try:
            self._helpers.run("token", "token", call, self._landed)
        except RtmError as error:
            self._finish(None, error, now)
        else:
            self._calling = True

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None."""
        return self._due

    def handle_timer(self, now: float) -> None:
        """Stop waiting for a provider that takes too long."""
        if self._due is not None and now >= self._due:
            error = RequestTimeout(
                f"The token provider has not answered within {TOKEN_PROVIDER_TIMEOUT:g} s.", operation="token"
            )
            self._finish(None, error, now)

    def _landed(self, result: Any, failure: BaseException | None, now: float) -> None:
        error: RtmError | None = None
        token: str | None = None
        self._calling = False
        if failure is not None:
            error = AuthError(f"The token provider failed: {failure!r}.", operation="token")
            error.__cause__ = failure
        elif result is None or isinstance(result, str):
            token = result
        else:
            error = AuthError(
                f"The token provider returned {type(result).__name__}, not a string.", operation="token"
            )
        if self._answer is None:
            self._late = token
        else:
            self._finish(token, error, now)

    def _finish(self, token: str | None, error: RtmError | None, now: float) -> None:
        answer, self._answer, self._due = self._answer, None, None
        if answer is not None:
            answer(token, error, now)
