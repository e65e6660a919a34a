"""The end of a session on its transports: who is told, and how long that may take."""

import attrs

from rtmcore.client.facts import SessionFacts, SessionParts
from rtmcore.client.links import Link, Links
from rtmcore.client.requests import Ticket
from rtmcore.limits import GOODBYE_TIMEOUT
from rtmcore.wire.packets import Bye


@attrs.define(eq=False)
class Logout:
    """A logout that waits for the server to close."""

    tickets: list[Ticket]
    deadline: float
    said: Link | None = None
    """The transport that the goodbye was written on; the server closes it."""


class Goodbyes:
    """Says goodbye on transports, and leaves them.

    Args:
        links: The client's transports.
        parts: Writes what waits together with the goodbye.
        facts: Knows the session's fence.
    """

    def __init__(self, links: Links, parts: SessionParts, facts: SessionFacts) -> None:
        self._links = links
        self._parts = parts
        self._facts = facts

    def say(self, link: Link, now: float) -> None:
        """Write a goodbye. It names its fence, where there is one, so that it touches nothing newer."""
        if link is self._links.current:
            self._parts.goodbye(Bye(self._facts.fence), now)
        elif link.transport is not None:
            link.transport.send((Bye(),), now)

    def leave(self, logout: Logout | None, now: float) -> None:
        """Leave all transports: with a goodbye, and time for it to arrive, where the server may know of the session.

        Args:
            logout: What was said and waited for already.
            now: Monotonic seconds.
        """
        for link in (self._links.current, self._links.candidate):
            if link is None:
                continue
            if not link.open or not link.hello_sent:
                self._links.close(link)
            elif logout is None or logout.said is not link:
                self.say(link, now)
                self._links.let_leave(link, now + GOODBYE_TIMEOUT)
            elif now < logout.deadline:
                self._links.let_leave(link, logout.deadline)
            else:
                self._links.close(link)

    def drop(self) -> None:
        """Close all transports without a word: the server has ended the session."""
        for link in (self._links.current, self._links.candidate):
            if link is not None:
                self._links.close(link)
