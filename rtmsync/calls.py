"""How the parts of a client make their calls."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from rtmcore.client.core import ClientCore
from rtmcore.client.requests import Ticket
from rtmcore.codes import ConnectionState
from rtmsync.driver.clock import Timeout
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.handle import Handle

Request: TypeAlias = Callable[[ClientCore, float, float], Ticket]
"""States what is wanted to the core, with the seconds that it may take, and the time."""


class ClientCalls(Handle[Driver[ClientCore], ConnectionState]):
    """What all parts of a client have in common."""

    def _ask(self, operation: str, request: Request, timeout: Timeout) -> Any:
        """Make a call and wait for its result."""
        driver, seconds = self._driver, self._seconds(operation, timeout)
        return driver.call(operation, _intent(driver.core, request, seconds), seconds)

    def _ask_future(self, operation: str, request: Request, timeout: Timeout) -> "ClientFuture[Any]":
        """Make a call without waiting."""
        driver, seconds = self._driver, self._seconds(operation, timeout)
        return driver.future(_intent(driver.core, request, seconds))


def _intent(core: ClientCore, request: Request, seconds: float) -> Intent:
    return lambda now: request(core, seconds, now)


def listed(names: str | Iterable[str]) -> list[str]:
    """Names as a list. A single one is an iterable of names too, but not the one that was meant."""
    return [names] if isinstance(names, str) else list(names)
