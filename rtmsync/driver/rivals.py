"""What the log says where a client was put out by another one of the same user."""

import logging
import os
from collections import deque
from typing import Final

import attrs

from rtmcore.limits import REMOTE_LOGIN_LOOP, RIVALS_REMEMBERED
from rtmsync.driver.clock import Clock

logger: Final = logging.getLogger("rtmsync")

_ONCE: Final = "Another client has logged in as %s%s, so this one in process %d was put out: %s."
_SIBLING: Final = ", probably a sibling of this process, since this client was made before a fork"
_LOOP: Final = (
    "Clients of %s were put out %d times within %g s by others that logged in as the same user, so they keep putting "
    "each other out: log in again only when a person has asked for it, and %s."
)


@attrs.frozen
class Remedy:
    """What the log advises where a client was put out by another login of its user, and which log does.

    Attributes:
        advice: What to do about it: an imperative without a full stop, the end of a sentence.
        log: Gets that sentence, as a warning.
    """

    advice: str
    log: logging.Logger = logger


USUAL_REMEDY: Final = Remedy(
    "give each process a user id of its own, for example with its pid in it, or publish with rtmsync.Publisher, "
    "which needs none"
)
"""For a program of which nothing else is known."""


class Rivals:
    """Remembers which users of this process were put out, to notice two that keep putting each other out.

    Of more than `limits.RIVALS_REMEMBERED` users it forgets all, and begins again.
    """

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def put_out(self, who: str, inherited: bool, remedy: Remedy) -> None:
        """Write one sentence about a client that was put out.

        Args:
            who: The user, as logs name him.
            inherited: Whether the client was made before this process was forked: what other processes are
                cannot be known, but those that were forked from the same one have the same client.
            remedy: What to advise, and where.
        """
        count, seconds, now = REMOTE_LOGIN_LOOP.count, REMOTE_LOGIN_LOOP.seconds, Clock.now()
        if who not in self._times and len(self._times) >= RIVALS_REMEMBERED:
            self._times.clear()
        times = self._times.setdefault(who, deque(maxlen=count))
        times.append(now)
        if len(times) == count and now - times[0] <= seconds:
            remedy.log.warning(_LOOP, who, count, seconds, remedy.advice)
        else:
            remedy.log.warning(_ONCE, who, _SIBLING if inherited else "", os.getpid(), remedy.advice)


RIVALS: Final = Rivals()
"""Those of this process: who makes a new client each time is noticed too."""
