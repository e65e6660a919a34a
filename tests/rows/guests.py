"""Participants of a room, on the same town."""

from typing import Any

from rtmcore.client.events import (
    DataReceived,
    Event,
    RoomDisconnected,
    RoomGap,
    RoomMessage,
    RoomReconnected,
    RoomReconnecting,
)
from rtmcore.client.requests import Ticket
from rtmcore.client.room import RoomCore
from rtmcore.codes import MessageType, RoomState
from tests.rows.town import Party, Town

CALL = "call"
"""The room that everybody goes to."""


class Guest(Party):
    """A participant of a room."""

    core: RoomCore

    def __init__(
        self, town: Town, identity: str, node: str = "n1", room: str = CALL, **settings: Any
    ) -> None:
        super().__init__(town, identity, node)
        self.states_at_events: list[RoomState | None] = []
        self.core = RoomCore(
            town.config(user_id=identity, kind="room", scope=room, **settings),
            iid=f"instance-of-{identity}-{next(town.instances)}",
            **town.chance,
        )

    def act(self, event: Event) -> None:
        super().act(event)
        if isinstance(event, RoomReconnecting | RoomReconnected | RoomDisconnected):
            self.states_at_events.append(self.core.state)

    @property
    def codes(self) -> list[tuple[str, int | None]]:
        """What happened to the room, with the numbers of the errors."""
        return [
            (type(e).__name__.removeprefix("Room").lower(), _code(getattr(e, "error", None)))
            for e in self.of(RoomReconnecting, RoomReconnected, RoomDisconnected)
        ]

    @property
    def said(self) -> list[bytes]:
        return [e.body for e in self.of(RoomMessage)]

    @property
    def missed(self) -> int:
        return sum(e.lost for e in self.of(RoomGap))

    @property
    def frames(self) -> list[bytes]:
        return [e.body for e in self.of(DataReceived)]

    def connect(self, within: float = 16.0) -> "Guest":
        self.done(self.core.connect(self.town.now), within)
        return self

    def disconnect(self) -> None:
        self.done(self.core.disconnect(self.town.now), 2)

    def say(self, body: bytes, timeout: float = 60.0) -> Ticket:
        return self.core.send(MessageType.TEXT, body, timeout=timeout, now=self.town.now)


def _code(error: Any) -> int | None:
    return None if error is None else int(error.code)
