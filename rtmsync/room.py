"""A room and who is in it, as in seed 002."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from rtmcore.client.events import (
    DataReceived,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    PeerConnectionStateChanged,
    RoomDisconnected,
    RoomGap,
    RoomMessage,
    RoomReconnected,
    RoomReconnecting,
    TokenHasExpired,
    TokenWillExpire,
)
from rtmcore.client.requests import ROOM_DISCONNECT, Ticket
from rtmcore.client.room import RoomCore
from rtmcore.codes import ParticipantState, PeerConnectionState, RoomErrorCode, RoomState
from rtmcore.errors import RtmError
from rtmcore.models import PublishResult
from rtmsync.bodies import kind_and_body
from rtmsync.config import RoomConfig, TokenProvider
from rtmsync.driver.clock import Clock, Deadline, Timeout
from rtmsync.driver.core import Profile
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.router import Callback
from rtmsync.handle import Handle
from rtmsync.subscriptions import EventSource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rtmsync.config import Options


def connect_room(
    url: str | Iterable[str],
    *,
    app_id: str,
    room: str,
    identity: str,
    token: str | TokenProvider | None = None,
    timeout: Timeout = None,
    **options: "Unpack[Options]",
) -> "Room":
    """Connect to a room. One attempt is made; a room object exists only when it has succeeded.

    The media connection comes up behind signaling: this waits for it too, so that data tracks can be used at once,
    but not for longer than the time there is, and the room is connected without it.

    ```python
    with rtmsync.connect_room(
        "wss://rtm.example.com", app_id=APP, room="demo", identity="alice", token=mint
    ) as room:
        room.on(rtmsync.ParticipantConnected, lambda event: print(event.identity, "is here"))
        room.send("hello")
        room.data_track("position").send(b"1,2")
    ```

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several, of which one is tried.
        app_id: 32 characters.
        room: Its name: 1 to 64 bytes of the documented characters.
        identity: Who takes part, of the same characters; whoever is there by this identity is disconnected (53205).
        token: A token for this identity and room, valid for at most 24 hours; a function of identity and reason
            that returns one, asked on a thread of its own at each attempt; or None where the server wants none.
        timeout: Seconds in all, 15 by default.
        options: See `Settings`.

    Returns:
        The room, connected. Disconnect it, best by a `with` block.

    Raises:
        InvalidArgument: An argument is not possible.
        RtmError: The room cannot be connected to: a `RoomErrorCode` says why. Nothing is left open then.
    """
    given = {"app_id": app_id, "room": room, "identity": identity, "token": token, **options}
    connecting = Room(RoomConfig.of(url, given))
    try:
        connecting._connect(timeout)
    except BaseException:
        connecting.close()
        raise
    return connecting


# --- Who is in it ------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _Stay:
    """One stay of a participant in the room; whoever comes back after leaving begins another."""

    identity: str
    state: ParticipantState


_STATES = {
    ParticipantReconnecting: ParticipantState.RECONNECTING,
    ParticipantReconnected: ParticipantState.CONNECTED,
}


class _Roster:
    """Who is in the room. It hears of each event before the application does."""

    def __init__(self) -> None:
        self.stays: dict[str, _Stay] = {}

    def observe(self, event: object) -> None:
        """Take note of an event."""
        if isinstance(event, ParticipantConnected):
            self.stays[event.identity] = _Stay(event.identity, ParticipantState.CONNECTED)
        elif isinstance(event, ParticipantDisconnected):
            stay = self.stays.pop(event.identity, None)
            if stay is not None:
                stay.state = ParticipantState.DISCONNECTED
        elif isinstance(event, RoomDisconnected):
            for stay in self.stays.values():
                stay.state = ParticipantState.DISCONNECTED
            self.stays.clear()
        elif isinstance(event, ParticipantReconnecting | ParticipantReconnected):
            stay = self.stays.get(event.identity)
            if stay is not None:
                stay.state = _STATES[type(event)]

    def fill(self, states: dict[str, ParticipantState]) -> None:
        """Take over those who are there when this one comes."""
        for identity, state in states.items():
            self.stays.setdefault(identity, _Stay(identity, state))


class RoomDriver(Driver[RoomCore]):
    """The driver of a room.

    Args:
        config: The room's settings.
        callbacks: Registered already.
        clock: Tells the time, in monotonic seconds.
    """

    def __init__(
        self, config: RoomConfig, callbacks: Iterable[Callback], *, clock: Callable[[], float] = Clock.now
    ) -> None:
        self.roster = _Roster()
        super().__init__(_PROFILE, config, callbacks, self.roster.observe, clock=clock)


class RemoteParticipant(EventSource):
    """Another participant of a room, from connecting to disconnecting; made by the room.

    Its events, for `on` and `events`: ParticipantReconnecting, ParticipantReconnected, ParticipantDisconnected,
    RoomMessage, DataReceived; its own only. A function that was registered with the room for the same event is
    called first. After ParticipantDisconnected nothing more comes; whoever connects again by the same identity is
    another participant.

    Attributes:
        identity: By which it is known in the room.
    """

    __slots__ = ("_room", "_stay", "identity")

    _EVENTS = (
        ParticipantReconnecting,
        ParticipantReconnected,
        ParticipantDisconnected,
        RoomMessage,
        DataReceived,
    )

    def __init__(self, room: "Room", stay: _Stay) -> None:
        self._room = room
        self._stay = stay
        self.identity = stay.identity

    def __repr__(self) -> str:
        return f"<RemoteParticipant {self.identity!r}, {self.state.value}>"

    def __eq__(self, other: object) -> bool:
        return self._stay is other._stay if isinstance(other, RemoteParticipant) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._stay)

    @property
    def state(self) -> ParticipantState:
        """The state of its signaling connection, as far as this one was told: disconnected once it has left.

        It is updated before the event that tells of it is dispatched.
        """
        return ParticipantState.DISCONNECTED if self._gone else self._stay.state

    @property
    def _driver(self) -> Driver[RoomCore]:
        return self._room._driver

    @property
    def _part(self) -> str:
        return self.identity

    @property
    def _gone(self) -> bool:
        return self._room._driver.roster.stays.get(self.identity) is not self._stay


class DataTrack:
    """A track of binary frames from this participant to all others; made by `Room.data_track`, which asks nobody.

    Attributes:
        name: 1 to 128 bytes of printable characters.
    """

    __slots__ = ("_room", "name")

    def __init__(self, room: "Room", name: str) -> None:
        self._room = room
        self.name = name

    def __repr__(self) -> str:
        return f"<DataTrack {self.name!r}>"

    def send(self, frame: str | bytes) -> None:
        """Send a frame on the media connection; it does not wait, and nobody acknowledges it.

        Frames of a track come to each other participant in their order, as `DataReceived`. Where one is too slow or
        away, his oldest are dropped: the server keeps the newest 64 for each, and sends nothing again.

        Args:
            frame: Bytes, or text to be sent as UTF-8; at most 32 KiB.

        Raises:
            InvalidArgument: The frame or the name of the track is not possible (53300 to 53303).
            ConnectionFailed: The media connection does not stand at the moment (53405): a frame does not wait.
            LimitExceeded: Too many tracks are in use (53203), or 8 MiB wait for the connection already, which is slower
                than the sender.
            RtmError: The room is disconnected.
        """
        driver = self._room._driver
        _, body = kind_and_body(frame, RoomErrorCode.TRACK_INVALID, "send")
        driver.send_frame("send", lambda now: driver.core.send_data(self.name, body, now))


# --- The room ----------------------------------------------------------------------------------------------------


def _describe(event: RoomReconnecting | RoomReconnected | RoomDisconnected) -> str:
    if isinstance(event, RoomReconnected):
        return "connected again"
    if isinstance(event, RoomReconnecting):
        return f"reconnecting: {event.error}"
    return "disconnected" if event.error is None else f"disconnected: {event.error}"


def _broken(previous: object, error: RtmError) -> RoomDisconnected:
    return RoomDisconnected(error)


_PROFILE: Profile[RoomCore] = Profile(
    make=RoomCore,
    resting=frozenset({None, RoomState.DISCONNECTED}),
    connected=RoomState.CONNECTED,
    off=RoomState.DISCONNECTED,
    changes=(RoomReconnecting, RoomReconnected, RoomDisconnected),
    describe=_describe,
    broken=_broken,
    final=frozenset({RoomState.DISCONNECTED}),
)


class Room(Handle[RoomDriver, RoomState]):
    """A room that this process takes part in; made by `connect_room`.

    It is ``connected``, ``reconnecting`` while signaling (after 4 s of silence: 53001) or media (after 3 s: 53405)
    is interrupted, and ``disconnected`` for good in the end: by `disconnect` or `close`, or with an error whose code
    says why. Then its queues and iterators end. The figures and codes are those of seed 002.

    What is said of threads, signals, forks, timeouts and Futures in `Client` holds here too; in a forked child it is
    disconnected. At the end of the interpreter the others are told at once.

    Its events, for `on` and `events`: RoomReconnecting, RoomReconnected, RoomDisconnected, ParticipantConnected,
    ParticipantReconnecting, ParticipantReconnected, ParticipantDisconnected, RoomMessage, RoomGap, DataReceived,
    TokenWillExpire, TokenHasExpired, PeerConnectionStateChanged.

    Args:
        config: The settings.
    """

    _EVENTS = (
        RoomReconnecting,
        RoomReconnected,
        RoomDisconnected,
        ParticipantConnected,
        ParticipantReconnecting,
        ParticipantReconnected,
        ParticipantDisconnected,
        RoomMessage,
        RoomGap,
        DataReceived,
        TokenWillExpire,
        TokenHasExpired,
        PeerConnectionStateChanged,
    )

    def __init__(self, config: RoomConfig) -> None:
        self._config = config
        super().__init__(config)

    # --- What it is ---------------------------------------------------------------------------------------------

    @property
    def config(self) -> RoomConfig:
        """The settings; they can be pickled, and tokens are not shown."""
        return self._config

    @property
    def name(self) -> str:
        """The room's name."""
        return self._config.room

    @property
    def identity(self) -> str:
        """By what this participant is known in the room."""
        return self._config.identity

    @property
    def state(self) -> RoomState:
        """The state of the room, made of signaling and media; updated before an event tells of it."""
        state: RoomState | None = self._driver.state
        return RoomState.DISCONNECTED if state is None else state

    @property
    def participants(self) -> dict[str, RemoteParticipant]:
        """The others that are in the room now, by identity."""
        return {
            stay.identity: RemoteParticipant(self, stay) for stay in list(self._driver.roster.stays.values())
        }

    # --- Talking ------------------------------------------------------------------------------------------------

    def send(self, message: str | bytes, timeout: Timeout = None) -> PublishResult:
        """Send a message to all others in the room; those who are away for a moment get it later.

        Args:
            message: Text, or bytes as they are; at most 32 KiB.
            timeout: Seconds in all, also for waiting out a reconnect; 10 by default.

        Returns:
            The message's place in the room's log: the server has accepted it.

        Raises:
            RtmError: InvalidArgument, RateLimited, RequestTimeout (see its `outcome_unknown`), or the reason for
                which the room is disconnected.
        """
        driver, seconds = self._driver, self._seconds("send", timeout)
        result: PublishResult = driver.call("send", _send(driver, message, seconds), seconds)
        return result

    def send_future(self, message: str | bytes, timeout: Timeout = None) -> "ClientFuture[PublishResult]":
        """Like `send`, without waiting: many messages can be under way."""
        driver = self._driver
        return driver.future(_send(driver, message, self._seconds("send", timeout)))

    def data_track(self, name: str) -> DataTrack:
        """A track to send binary frames on. Objects of the same name are alike.

        Args:
            name: 1 to 128 bytes of printable characters.
        """
        return DataTrack(self, name)

    # --- The end ------------------------------------------------------------------------------------------------

    def disconnect(self, timeout: Timeout = None) -> None:
        """Leave the room for good: the others are told at once. Another call does nothing.

        Args:
            timeout: Seconds in all, 5 by default. The room is disconnected afterwards in any case.
        """
        driver, seconds = self._driver, self._seconds("disconnect", timeout)
        driver.call("disconnect", _disconnect(driver, seconds), seconds)

    def disconnect_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `disconnect`, without waiting."""
        driver = self._driver
        return driver.future(_disconnect(driver, self._seconds("disconnect", timeout)))

    # --- Inside -------------------------------------------------------------------------------------------------

    def _make_driver(self, callbacks: Iterable[Callback]) -> RoomDriver:
        return RoomDriver(self._config, callbacks)

    def _connect(self, timeout: Timeout) -> None:
        driver, budget = self._driver, Deadline(self._seconds("connect", timeout))
        core, seconds = driver.core, budget.remaining()
        driver.call("connect", driver.starting("connect", lambda now: core.connect(now, seconds)), seconds)

        def take_over(now: float) -> None:
            driver.roster.fill(core.participants)
            driver.timeline.enter(RoomState.CONNECTED.value, now, time.time())

        driver.act("connect", take_over)
        driver.wait_for(
            lambda: core.peer_connection_state is not PeerConnectionState.CONNECTING, budget.remaining()
        )


def _disconnect(driver: Driver[RoomCore], seconds: float) -> Intent:
    core = driver.core

    def intent(now: float) -> Ticket:
        if core.state is RoomState.CONNECTED or core.state is RoomState.RECONNECTING:
            return core.disconnect(now, seconds)
        done = Ticket(ROOM_DISCONNECT, now, begun=now)
        done.done = True
        return done

    return intent


def _send(driver: Driver[RoomCore], message: str | bytes, seconds: float) -> Intent:
    core = driver.core

    def intent(now: float) -> Ticket:
        kind, body = kind_and_body(message, RoomErrorCode.SIGNALING_OUTGOING_MESSAGE_INVALID, "send")
        return core.send(kind, body, timeout=seconds, now=now)

    return intent
