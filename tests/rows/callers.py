"""Users of an RTC channel, on the same town."""

from typing import Any

from rtmcore.client.events import (
    RtcConnectionLost,
    RtcInterrupted,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
)
from rtmcore.client.rtc import RtcCore
from tests.rows.town import Party, Town

CALL = "call"
"""The channel that everybody joins."""


class Rtc(Party):
    """A user of an RTC channel."""

    core: RtcCore

    def __init__(self, town: Town, uid: str, node: str = "n1", channel: str = CALL, **settings: Any) -> None:
        super().__init__(town, uid, node)
        self.core = RtcCore(
            town.config(user_id=uid, kind="rtc", scope=channel, **settings),
            iid=f"instance-of-{uid}-{next(town.instances)}",
            **town.chance,
        )

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(e.state.name, e.reason.name) for e in self.of(RtcStateChanged)]

    @property
    def callbacks(self) -> list[str]:
        """The names of what was called back, in order."""
        kinds = (RtcJoined, RtcRejoined, RtcInterrupted, RtcConnectionLost, RtcUserJoined, RtcUserOffline)
        return [type(e).__name__ for e in self.of(*kinds)]

    @property
    def others(self) -> list[RtcUserJoined | RtcUserOffline]:
        return self.of(RtcUserJoined, RtcUserOffline)

    @property
    def frames(self) -> list[bytes]:
        return [e.body for e in self.of(StreamMessage)]

    def join(self, within: float = 11.0) -> "Rtc":
        self.done(self.core.join(self.town.now), within)
        return self

    def leave(self) -> None:
        self.done(self.core.leave(self.town.now), 2)
