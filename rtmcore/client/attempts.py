"""When an attempt to connect is made, at which server, and when there are no more."""

import enum

import attrs

from rtmcore.client.config import Endpoint
from rtmcore.connection.backoff import Backoff
from rtmcore.limits import BACKOFF_BASE, BACKOFF_SETTLED, LATE_GIVE_UP


class Verdict(enum.Enum):
    """What a look at the clock says about going on."""

    GO_ON = "there is time left"
    LAST_ATTEMPT = "the time is over, but that was noticed late: one attempt decides"
    OVER = "the time is over"


@attrs.define(eq=False)
class GiveUp:
    """The time after which nothing is tried any more.

    One that is noticed late, because the machine slept, allows one attempt first.
    """

    deadline: float
    """In monotonic seconds."""
    extended: bool = False
    """It was noticed late: one more attempt decides."""

    def judge(self, now: float, attempt: float) -> Verdict:
        """Look at the clock.

        Args:
            now: Monotonic seconds.
            attempt: Seconds that one more attempt may take.
        """
        if now < self.deadline:
            return Verdict.GO_ON
        if self.extended or now < self.deadline + LATE_GIVE_UP:
            return Verdict.OVER
        self.extended = True
        self.deadline = now + attempt
        return Verdict.LAST_ATTEMPT


class Attempts:
    """When the next attempt begins, and at which server.

    Args:
        endpoints: Tried in turn.
        backoff: How long to wait.

    Attributes:
        next_at: When the next attempt begins, in monotonic seconds; None where none is waited for.
    """

    def __init__(self, endpoints: tuple[Endpoint, ...], backoff: Backoff) -> None:
        self._endpoints = endpoints
        self._backoff = backoff
        self._index = 0
        # Since when the session stands; None once an attempt to replace its transport was made.
        self._stands_since: float | None = None
        # Whether the session before it stood for a moment only.
        self._stood_a_moment = False
        self.next_at: float | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The server to try."""
        return self._endpoints[self._index % len(self._endpoints)]

    def rotate(self) -> None:
        """The server to try is the next one: this one has failed."""
        self._index += 1

    def reset(self) -> None:
        """Begin anew: the next attempt is made at once."""
        self._backoff.reset()

    def succeeded(self) -> None:
        """A transport was welcomed: no other is waited for."""
        self.next_at = None
        self._stands_since = None

    def stands(self, now: float) -> None:
        """The session stands from now on."""
        self._stands_since = now

    def schedule(self, now: float, retry_after: float | None, end: float | None) -> bool:
        """Decide when the next attempt begins.

        A session that stood earns one at once, but not when one after the other stands for a moment only.

        Args:
            now: Monotonic seconds.
            retry_after: What the server asked for.
            end: When attempts end anyway; a wait beyond it would waste what time is left.

        Returns:
            True where it begins now; otherwise `next_at` says when.
        """
        if self._stands_since is not None:
            moment = now - self._stands_since < BACKOFF_SETTLED
            if not (moment and self._stood_a_moment):
                self.reset()
            self._stood_a_moment = moment
            self._stands_since = None
        begin = now + self._backoff.delay(retry_after)
        if retry_after is None and end is not None and begin >= end:
            halfway = (end - now) / 2
            begin = now + halfway if halfway >= BACKOFF_BASE else end
        self.next_at = begin if begin > now else None
        return self.next_at is None
