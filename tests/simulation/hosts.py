"""A client's machine: the real client core, its sockets on the virtual network, and the application above it."""

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import CloseTransport, Event, NeedToken, OpenTransport, RequestCompleted
from rtmcore.client.requests import Ticket
from rtmcore.errors import ConnectionFailed, RtmError
from rtmcore.limits import READ_CHUNK
from rtmcore.models import PeerMessage
from tests.simulation.history import Call, Life
from tests.simulation.network import FOREVER, Weather, Wire
from tests.simulation.tokens import make_token

if TYPE_CHECKING:
    from tests.simulation.world import World

APP = "a" * 32
MEDIA_LINKS = 2**32
"""Transports with greater numbers are the media connections of rooms."""


@attrs.define(eq=False)
class Habit:
    """How the application above a core behaves; may change at any time.

    Attributes:
        take: Seconds until it has taken a peer message; None while it takes none.
        token_seconds: Life of the tokens that it gives; None where it has none.
        token_late: Seconds that its token provider takes at most.
        token_fails: Chance that its token provider raises.
    """

    take: float | None = 0.0
    token_seconds: float | None = None
    token_late: float = 0.0
    token_fails: float = 0.0


class ClientHost:
    """One client object for as long as its process lives.

    Args:
        world: Where it is.
        user: Its name.
        kind: `rtm`, `rtc` or `room`.
        scope: The RTC channel or the room.
        settings: Of the core; see `ClientConfig`.

    Attributes:
        core: The core that users get.
        life: What its application did and saw.
        asleep: Until when the machine is suspended.
        late_hello: Seconds for which the hello of its next connection is held up.
        weather: What the network does to its bytes.
        habit: How its application behaves.
    """

    def __init__(
        self, world: "World", user: str, *, kind: str = "rtm", scope: str = "", **settings: Any
    ) -> None:
        self.world = world
        self.user = user
        self.kind = kind
        self.scope = scope
        self.number = world.next_number()
        self.name = f"{user}#{self.number}"
        self.dice: random.Random = world.dice_for(f"client {self.number}")
        self.iid = f"instance-{self.number:08}"
        self.weather = Weather()
        self.habit = Habit()
        self.life: Life = world.history.begin(self.name, user, self.iid, kind, scope, world.now)
        self.wires: dict[int, Wire] = {}
        self.ready: dict[Wire, None] = {}
        self.full: dict[Wire, None] = {}
        self.asleep = 0.0
        self.alive = True
        self.late_hello = 0.0
        self.due: float | None = None
        self._untaken: deque[PeerMessage] = deque()
        self._taking = False
        self._posted: deque[Callable[[float], None]] = deque()
        self.core: Any = self._make_core({"endpoints": world.urls, "rate_limits": False, **settings})

    def _make_core(self, settings: dict[str, Any]) -> Any:
        dice = self.dice
        sources = {
            "iid": self.iid,
            "random": dice.random,
            "mask_key": lambda: dice.getrandbits(32).to_bytes(4, "big"),
            "nonce": lambda: dice.getrandbits(128).to_bytes(16, "big"),
        }
        if self.kind != "rtm":
            settings = {**settings, "kind": self.kind, "scope": self.scope}
        config = ClientConfig(app_id=APP, user_id=self.user, **settings)
        if self.kind == "rtc":
            from rtmcore.client.rtc import RtcCore

            return RtcCore(config, **sources)
        if self.kind == "room":
            from rtmcore.client.room import RoomCore

            return RoomCore(config, **sources)
        return ClientCore(config, **sources)

    # --- What the application does ----------------------------------------------------

    def call(self, name: str, *arguments: Any, **options: Any) -> Call:
        """Call a method of the core, as the application would; what comes of it is in the record.

        A suspended or ended process calls nothing: then the record says so (`made` is False).
        """
        now = self.world.now
        call = Call(name, arguments, options, now)
        self.life.calls.append(call)
        if not self.alive or now < self.asleep:
            call.made = False
            return call
        owner, _, last = name.rpartition(".")
        method = getattr(getattr(self.core, owner) if owner else self.core, last)
        try:
            if name in ("login", "logout", "close", "join", "connect", "leave", "disconnect") and (
                self.kind != "rtm" or name in ("login", "logout", "close")
            ):
                found = method(now, *arguments, **options)
            else:
                found = method(*arguments, **options, now=now)
        except RtmError as error:
            call.end(now, None, error)
        else:
            if isinstance(found, Ticket):
                call.number = found.request_id
                call.deadline = found.deadline
                found.context = call
                call.ticket = found
                self.life.open[id(call)] = call
            else:
                call.end(now, found, None)
        self.turn()
        return call

    def crash(self, *, silent: bool = False) -> None:
        """End the process without a word of it; with its machine, not even the kernel speaks."""
        now = self.world.now
        self.alive = False
        self.life.end(now)
        for wire in list(self.wires.values()):
            if silent:
                wire.client_open = False
                wire.up.swallowing = True
                wire.up.discard()
                wire.down.discard()
            else:
                wire.close_client(now)
        self.wires.clear()
        self.ready.clear()
        self._untaken.clear()

    def suspend(self, seconds: float) -> None:
        """Stop the machine; what arrives meanwhile waits in its kernel."""
        self.asleep = max(self.asleep, self.world.now + seconds)
        self.life.sleeps.append((self.world.now, self.asleep))

    # --- Faults of its network --------------------------------------------------------

    @property
    def wire(self) -> Wire | None:
        """Its latest open connection."""
        return self.wires[max(self.wires)] if self.wires else None

    def reset(self, *, client: bool = True, server: bool = True) -> None:
        """Reset all its connections; one side may not learn of it."""
        for wire in list(self.wires.values()):
            wire.reset(self.world.now, client=client, server=server)

    def hole(self, seconds: float, *, up: bool = True, down: bool = True, outlast: float = 0.0) -> None:
        """Nothing gets through for a while, on this and on new connections.

        Args:
            seconds: For how long.
            up: To the server.
            down: From the server.
            outlast: Seconds by which the silence of its open connections outlasts the hole, for a kernel repeats
                what was lost at ever longer intervals.
        """
        now = self.world.now
        if up:
            self.weather.hole_up = max(self.weather.hole_up, now + seconds)
        if down:
            self.weather.hole_down = max(self.weather.hole_down, now + seconds)
        for wire in self.wires.values():
            wire.hole(seconds + outlast, now, up=up, down=down)

    def heal(self) -> None:
        """End all holes and refusals."""
        self.weather.hole_up = self.weather.hole_down = self.weather.refuse = 0.0
        now = self.world.now
        for wire in self.wires.values():
            wire.up.release(now)
            wire.down.release(now)

    def cut(self, *, up: int | None = None, down: int | None = None) -> None:
        """Reset its connection after so many more bytes."""
        wire = self.wire
        if wire is not None:
            if up is not None:
                wire.up.cut = up
            if down is not None:
                wire.down.cut = down

    def swallow(self, *, up: bool = True, down: bool = False) -> None:
        """From now on kernels accept what is written on its connections, and it never arrives."""
        for wire in self.wires.values():
            wire.up.swallowing = wire.up.swallowing or up
            wire.down.swallowing = wire.down.swallowing or down

    def refuse(self, seconds: float) -> None:
        """Each attempt to connect is refused for a while."""
        self.weather.refuse = max(self.weather.refuse, self.world.now + seconds)

    # --- What the network brings ------------------------------------------------------

    def arrived(self, wire: Wire) -> None:
        if self.alive and wire.client_open:
            self.ready[wire] = None
            self.world.awaken(self)

    def may_write(self, wire: Wire) -> None:
        if self.alive and wire.client_open:
            self.full[wire] = None
            self.world.awaken(self)

    def post(self, function: Callable[[float], None]) -> None:
        """Have something done in the next turn."""
        if self.alive:
            self._posted.append(function)
            self.world.awaken(self)

    def wake(self, _: object = None) -> None:
        self.world.awaken(self)

    def _timer(self, when: float) -> None:
        if self.due != when:
            return
        self.due = None
        due = self.core.next_deadline()
        if due is not None and due > self.world.now:
            self._sleep_until(due)
        else:
            self.world.awaken(self)

    def _sleep_until(self, due: float) -> None:
        if self.due is None or due < self.due:
            self.due = due
            self.world.later(due, self._timer, due)

    # --- A turn -----------------------------------------------------------------------

    def turn(self) -> None:
        """What a client's network thread does once it wakes."""
        now = self.world.now
        if not self.alive:
            return
        if now < self.asleep:
            self.world.later(self.asleep, self.wake, None)
            return
        self.life.read = None
        if self.ready:
            ready, self.ready = self.ready, {}
            for wire in ready:
                self._read(wire, now)
            if len(ready) > 1:
                self.life.read = None
        if self.full:
            full, self.full = self.full, {}
            for wire in full:
                wire.up.flush(now)
        while self._posted:
            self._posted.popleft()(now)
        core = self.core
        due = core.next_deadline()
        if due is not None and due <= now:
            core.handle_timer(now)
            # What it tells now may be what it has found out by itself.
            self.life.read = None
            after = core.next_deadline()
            if after is not None and after <= now:
                self.world.history.violation(
                    now, f"{self.name}: handle_timer({now}) leaves a deadline at {after}"
                )
        self._carry_out(now)
        due = core.next_deadline()
        if due is not None:
            self._sleep_until(max(due, now))
        self.life.look(core, now)

    def _read(self, wire: Wire, now: float) -> None:
        if not wire.client_open:
            return
        most = wire.weather.drip or READ_CHUNK
        try:
            data = wire.down.read(now, most)
        except ConnectionResetError:
            self._forget(wire, now)
            self.core.transport_failed(wire.link, ConnectionFailed("The connection was reset."), now)
            return
        if data:
            self.life.heard = now
            self.life.read = (wire.number, wire.down.read_from, wire.down.read_until)
            self.core.receive_data(wire.link, data, now)
            pipe = wire.down
            if pipe.has_unread(now) or (
                not pipe.segments and pipe.finished is not None and pipe.finished <= now
            ):
                self.ready[wire] = None
                self.world.awaken(self)
        elif data is not None:
            self.core.receive_eof(wire.link, now)

    def _carry_out(self, now: float) -> None:
        core = self.core
        while True:
            while (event := core.next_event()) is not None:
                self._act(event, now)
            made = core.data_to_send()
            for link, data in made:
                wire = self.wires.get(link)
                if wire is not None:
                    wire.up.write(data, now)
            if not made:
                return

    def _act(self, event: Event, now: float) -> None:
        if isinstance(event, RequestCompleted):
            call = event.ticket.context
            if isinstance(call, Call):
                self.life.open.pop(id(call), None)
                call.end(now, event.ticket.value, event.ticket.error)
        elif isinstance(event, OpenTransport):
            self.life.opened(now)
            self.world.connect(self, event.id, event.host, media=event.id >= MEDIA_LINKS)
        elif isinstance(event, CloseTransport):
            for link, data in self.core.data_to_send():
                wire = self.wires.get(link)
                if wire is not None:
                    wire.up.write(data, now)
            wire = self.wires.get(event.id)
            if wire is not None:
                wire.up.flush(now)
                self._forget(wire, now)
        elif isinstance(event, NeedToken):
            self._give_token(now)
        else:
            self.life.saw(event, now, self.core.state)
            if isinstance(event, PeerMessage):
                self._untaken.append(event)
                self._take(now)

    def _forget(self, wire: Wire, now: float) -> None:
        self.wires.pop(wire.link, None)
        self.ready.pop(wire, None)
        self.life.lost_wire(wire, now)
        wire.close_client(now)

    # --- Connecting -------------------------------------------------------------------

    def connected(self, wire: Wire) -> None:
        """The kernel has connected."""
        if self.alive and wire.client_open and self.wires.get(wire.link) is wire:
            wire.opened = self.world.now
            self.post(lambda now: self._opened(wire, now))

    def _opened(self, wire: Wire, now: float) -> None:
        if wire.client_open:
            self.life.got_wire(wire, now)
            self.core.transport_opened(wire.link, now)

    def not_connected(self, link: int) -> None:
        """The kernel could not connect."""

        def tell(now: float) -> None:
            wire = self.wires.pop(link, None)
            if wire is not None:
                wire.client_open = False
                self.core.transport_failed(link, ConnectionFailed("refused"), now)

        self.post(tell)

    # --- The application --------------------------------------------------------------

    def _take(self, now: float) -> None:
        """Let the application take the next peer message when it comes to it."""
        if not self._untaken or self._taking or self.habit.take is None:
            return
        if self.habit.take == 0.0:
            while self._untaken:
                self._taken(now)
            return
        self._taking = True

        def take(now: float) -> None:
            self._taking = False
            if self._untaken and self.habit.take is not None:
                self._taken(now)
                self._take(now)

        self.world.later(now + self.habit.take, lambda _: self.post(take), None)

    def _taken(self, now: float) -> None:
        message = self._untaken.popleft()
        self.life.took(message, now)
        self.core.handed_over(message.id, now)

    def take_on(self, seconds: float | None) -> None:
        """Take peer messages at another pace from now on, or with None not at all."""
        self.habit.take = seconds
        self.post(self._take)

    def new_token(self) -> str | None:
        """A token that its application's server would give now."""
        if self.habit.token_seconds is None:
            return None
        wall = self.world.side.wall // 1000
        return make_token(self.user, wall + round(self.habit.token_seconds * 1000))

    def _give_token(self, now: float) -> None:
        def answer(now: float) -> None:
            if self.dice.random() < self.habit.token_fails:
                self.core.token_failed(ConnectionFailed("the token provider has failed"), now)
            else:
                self.core.token(self.new_token(), now)

        late = self.habit.token_late * self.dice.random() if self.habit.token_late else 0.0
        if late:
            self.world.later(now + late, lambda _: self.post(answer), None)
        else:
            self.post(answer)


__all__ = ["APP", "FOREVER", "ClientHost", "Habit"]
