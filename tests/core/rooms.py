"""A room core on wires in memory, and a server that lets everybody in."""

from typing import Any

from rtmcore.client.events import (
    OpenTransport,
    Purpose,
    RoomDisconnected,
    RoomReconnected,
    RoomReconnecting,
)
from rtmcore.client.media import is_media
from rtmcore.client.requests import Ticket
from rtmcore.client.room import RoomCore
from rtmcore.codes import (
    CloseCode,
    IceTransportState,
    RoomState,
)
from rtmcore.errors import (
    RtmError,
)
from rtmcore.limits import ROOM_MEDIA_BEAT
from rtmcore.wire.packets import (
    Hello,
    MediaHello,
    MediaWelcome,
    Packet,
    Publish,
    Published,
    Ready,
    Restored,
    Roster,
    Top,
)
from tests.core.wires import Bench, Connection, Server, welcome

ROOM = "daily"
Ice = IceTransportState


class RoomServer(Server):
    """Lets everybody into the room, and opens media connections of the session that is there."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 1
        self.users = ["ann", "bob"]
        self.away: list[str] = []
        self.session = 0
        self.answer_media = True
        self.media_close: int | None = None
        self.position = 500

    def accept(self, connection: Connection, hello: Hello) -> None:
        resumed = not hello.login and hello.fence == self.fence
        if not resumed:
            self.fence += 1
        figures = {"media": f"media-{self.fence}", **self.figures}
        connection.send(welcome(fence=self.fence, resumed=resumed, **figures))
        connection.send(Roster(ROOM, self.version, len(self.users), list(self.users), list(self.away)))
        connection.send(Restored(ROOM), Ready())
        connection.send(Top(self.position, 0, ROOM), Top(0, 0))

    def packet(self, connection: Connection, packet: Packet) -> None:
        if isinstance(packet, MediaHello):
            if self.media_close is not None:
                connection.close(self.media_close)
            elif (packet.fence, packet.secret) != (self.fence, f"media-{self.fence}"):
                connection.close(CloseCode.NO_SESSION)
            elif self.answer_media:
                connection.send(MediaWelcome(beat=1000, interrupted=3000))
                connection.transport.beat_interval = ROOM_MEDIA_BEAT
        elif isinstance(packet, Publish):
            self.position += 1
            connection.send(Published(packet.i, self.position, self.position - 1))
        else:
            super().packet(connection, packet)


class RoomBench(Bench):
    """One room core, its wires, and the clock."""

    core_class = RoomCore
    core: RoomCore
    server: RoomServer

    def __init__(self, **settings: Any) -> None:
        super().__init__(RoomServer(), **{"kind": "room", "scope": ROOM, **settings})
        self.states_told: list[RoomState | None] = []
        self.unreachable: set[Purpose] = set()
        self.refusals: dict[Purpose, RtmError] = {}
        self.dial = self._dial

    def _dial(self, event: OpenTransport) -> RtmError | bool | None:
        if event.purpose in self.refusals:
            return self.refusals[event.purpose]
        return event.purpose in self.unreachable or None

    def _act(self, event: Any) -> None:
        if isinstance(event, RoomReconnecting | RoomReconnected | RoomDisconnected):
            self.states_told.append(self.core.state)
        super()._act(event)

    def enter(self, timeout: float = 15.0) -> Ticket:
        ticket = self.core.connect(self.now, timeout)
        self.turn()
        return ticket

    def online(self) -> "RoomBench":
        ticket = self.enter()
        assert ticket.done
        assert ticket.error is None, ticket
        assert self.core.media_state is Ice.CONNECTED
        self.run(0.1)
        self.events.clear()
        self.aggregates.clear()
        return self

    @property
    def codes(self) -> list[tuple[str, int | None]]:
        return [
            (type(e).__name__.removeprefix("Room").lower(), _code(getattr(e, "error", None)))
            for e in self.of(RoomReconnecting, RoomReconnected, RoomDisconnected)
        ]

    @property
    def signaling(self) -> Connection:
        numbers = [number for number in self.server.connections if not is_media(number)]
        return self.server.connections[max(numbers)]

    @property
    def media(self) -> Connection:
        return self.server.connections[max(number for number in self.server.connections if is_media(number))]

    @property
    def media_opened(self) -> list[OpenTransport]:
        return [event for event in self.opened if event.purpose is Purpose.MEDIA]

    def lose_signaling(self) -> None:
        self.hole(self.signaling)
        self.unreachable |= {Purpose.RECONNECT, Purpose.SPARE}

    def lose_media(self) -> None:
        self.hole(self.media)
        self.unreachable.add(Purpose.MEDIA)

    def heal(self) -> None:
        self.unreachable.clear()
        for connection in self.server.connections.values():
            self.hole(connection, open_=False)
        self.turn()


def _code(error: RtmError | None) -> int | None:
    return None if error is None else int(error.code)  # type: ignore[arg-type]


def bench_in_room(**settings: Any) -> RoomBench:
    return RoomBench(**settings).online()
