"""One connection of a node: its phases as a table, what may be received in each, and what waits to be sent."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import ANSWER_BYTES, OFFLINE_AFTER, PACKETS_PER_FRAME, WRITE_CHUNK
from rtmcore.service.admission import SessionRates
from rtmcore.service.commands.names import Name, Session
from rtmcore.service.grants import Grant
from rtmcore.service.logs import InboxLog, Log, Member, Together
from rtmcore.wire.codec import Codec
from rtmcore.wire.packets import (
    Ack,
    AttributeList,
    Beat,
    Bye,
    ChannelAttributeList,
    ChannelAttributesChanged,
    ChannelEntry,
    Data,
    Floor,
    Hello,
    InboxEntry,
    MediaHello,
    MemberCounts,
    MemberList,
    MessagePage,
    OnlineList,
    Packet,
    PeerStates,
    Request,
    Roster,
    Sync,
    Unknown,
    UserList,
    Welcome,
    WrittenAttribute,
)
from rtmcore.wire.transport import ServerTransport, TransportState, server_message

if TYPE_CHECKING:
    from rtmcore.service.feeds import Feed

NEVER: Final = float("inf")

SERVICE_PREFIX: Final = "/rtm/v1/apps/"
"""What the paths of the service begin with: what needs a server key or a ticket."""


class Phase(enum.Enum):
    """How far a connection has come."""

    HTTP = "HTTP"
    """The upgrade has not been asked for yet."""
    SERVING = "SERVING"
    """Requests to the service are answered over HTTP, one after the other."""
    TRANSFERRING = "TRANSFERRING"
    """A request about a file is under way."""
    GREETING = "GREETING"
    """The WebSocket is open; the hello is awaited."""
    CLAIMING = "CLAIMING"
    """The hello was accepted; the engine is asked for the name."""
    RESTORING = "RESTORING"
    """Welcome was said; the channels of the hello are being rejoined."""
    LIVE = "LIVE"
    LEAVING = "LEAVING"
    """The client said goodbye; the engine is told."""
    ATTACHING = "ATTACHING"
    """The hello of a media connection came; the engine is asked for its room session."""
    MEDIA = "MEDIA"
    """A media connection, which carries the data frames of a room session."""
    CLOSING = "CLOSING"
    """A close frame was made; the client's answer is awaited."""
    FINISHED = "FINISHED"
    """Nothing more will be said: the socket is to be closed when all is written."""


class Cue(enum.Enum):
    """What moves a connection from phase to phase."""

    UPGRADE = "upgrade"
    SERVE = "serve"
    TRANSFER = "transfer"
    HELLO = "hello"
    WELCOME = "welcome"
    READY = "ready"
    GOODBYE = "goodbye"
    MEDIA_HELLO = "media hello"
    ATTACHED = "attached"
    CLOSE = "close"
    END = "end"


_TALKING: Final = (
    Phase.GREETING,
    Phase.CLAIMING,
    Phase.RESTORING,
    Phase.LIVE,
    Phase.LEAVING,
    Phase.ATTACHING,
    Phase.MEDIA,
)

PHASES: Final[dict[tuple[Phase, Cue], Phase]] = {
    (Phase.HTTP, Cue.UPGRADE): Phase.GREETING,
    (Phase.HTTP, Cue.SERVE): Phase.SERVING,
    (Phase.HTTP, Cue.TRANSFER): Phase.TRANSFERRING,
    (Phase.SERVING, Cue.TRANSFER): Phase.TRANSFERRING,
    (Phase.TRANSFERRING, Cue.SERVE): Phase.SERVING,
    (Phase.GREETING, Cue.HELLO): Phase.CLAIMING,
    (Phase.CLAIMING, Cue.WELCOME): Phase.RESTORING,
    (Phase.RESTORING, Cue.READY): Phase.LIVE,
    (Phase.CLAIMING, Cue.GOODBYE): Phase.LEAVING,
    (Phase.RESTORING, Cue.GOODBYE): Phase.LEAVING,
    (Phase.LIVE, Cue.GOODBYE): Phase.LEAVING,
    (Phase.GREETING, Cue.MEDIA_HELLO): Phase.ATTACHING,
    (Phase.ATTACHING, Cue.ATTACHED): Phase.MEDIA,
    (Phase.HTTP, Cue.CLOSE): Phase.CLOSING,
    (Phase.SERVING, Cue.CLOSE): Phase.CLOSING,
    (Phase.TRANSFERRING, Cue.CLOSE): Phase.CLOSING,
    **{(phase, Cue.CLOSE): Phase.CLOSING for phase in _TALKING},
    (Phase.HTTP, Cue.END): Phase.FINISHED,
    (Phase.SERVING, Cue.END): Phase.FINISHED,
    (Phase.TRANSFERRING, Cue.END): Phase.FINISHED,
    **{(phase, Cue.END): Phase.FINISHED for phase in _TALKING},
    (Phase.CLOSING, Cue.END): Phase.FINISHED,
}
"""Where each cue leads; a pair that is missing is a mistake of the node's."""


class Effect(enum.Enum):
    """What a packet brings about."""

    IGNORE = "ignore"
    LOG_IN = "log in"
    POSTPONE_GOODBYE = "postpone the goodbye"
    LOG_OUT = "log out"
    MOVE_FLOOR = "move the floor"
    ACKNOWLEDGE = "acknowledge"
    READ_LOG = "read a log"
    REQUEST = "carry out a request"
    ATTACH = "attach a media connection"
    SEND_DATA = "send a data frame"
    JUDGE_UNKNOWN = "judge an unknown packet before the login"
    REFUSE_UNKNOWN = "refuse an unknown request"


_ALWAYS: Final[dict[type[Any], Effect]] = {Beat: Effect.IGNORE, Unknown: Effect.JUDGE_UNKNOWN}
_ESTABLISHED: Final[dict[type[Any], Effect]] = {
    **_ALWAYS,
    Unknown: Effect.REFUSE_UNKNOWN,
    Bye: Effect.LOG_OUT,
    Floor: Effect.MOVE_FLOOR,
    Ack: Effect.ACKNOWLEDGE,
    Sync: Effect.READ_LOG,
    **dict.fromkeys(get_args(Request), Effect.REQUEST),
    Data: Effect.SEND_DATA,
}
_DEAF: Final[dict[type[Any], Effect]] = dict.fromkeys((Hello, MediaHello, *_ESTABLISHED), Effect.IGNORE)

RECEIVABLE: Final[dict[Phase, dict[type[Any], Effect]]] = {
    Phase.HTTP: {},
    Phase.SERVING: {},
    Phase.TRANSFERRING: {},
    Phase.GREETING: {**_ALWAYS, Hello: Effect.LOG_IN, MediaHello: Effect.ATTACH},
    Phase.CLAIMING: {**_ALWAYS, Bye: Effect.POSTPONE_GOODBYE},
    Phase.RESTORING: _ESTABLISHED,
    Phase.LIVE: _ESTABLISHED,
    Phase.LEAVING: _DEAF,
    Phase.ATTACHING: _ALWAYS,
    Phase.MEDIA: {**_ALWAYS, Unknown: Effect.REFUSE_UNKNOWN, Data: Effect.SEND_DATA},
    Phase.CLOSING: _DEAF,
    Phase.FINISHED: _DEAF,
}
"""What each packet does in each phase; a packet that is missing is malformed there."""


@attrs.define(eq=False)
class SessionState:
    """What a node remembers of a session beyond one transport."""

    name: Name
    fence: int
    rates: SessionRates
    admitted: dict[int, None] = attrs.field(factory=dict)
    """Requests that were counted by the rates: a repeat of one is not counted again."""
    restorable: set[type[Any]] = attrs.field(factory=set)
    """Requests that may restore once, outside the rates, what an earlier session had."""
    strays: set[str] = attrs.field(factory=set)
    """Channels that the session is in although its client was told that the join failed."""
    connection: Connection | None = None
    """The transport that speaks for the session; None where it is lost."""


@attrs.define
class Waiting:
    """A request that the engine has not answered."""

    kind: type[Any]
    """The class of its packet."""
    asked: float
    """When the engine was asked, in monotonic seconds."""
    due: float
    """When it has failed, in monotonic seconds."""
    joins: Feed | None = None
    """The channel to be joined, for a join."""


@attrs.define
class Restoring:
    """A channel of the hello that the engine has not answered."""

    feed: Feed
    position: int | None
    """Where the client stands; None for one that is new in the channel: at its top."""
    version: int
    """Of the member list that the client knows."""


class Connection:
    """One connection: its phase, its session, and its queue of output.

    The queue holds frames and packets side by side, in the order in which they are to leave. Packets are
    encoded late, so that all that a turn has to say to one connection shares WebSocket messages; frames are
    shared with other connections and never copied here. Data frames have a queue of their own, which is served
    when that one is empty: they never hold anything back, and are dropped where the socket is blocked.

    Args:
        number: The connection's number, given by the driver, never used twice.
        address: The remote address.
        dirty: Numbers of connections that have output; shared by all.
        now: Monotonic seconds.
    """

    __slots__ = (
        "_dirty",
        "_measured",
        "_measured_bytes",
        "_mixed",
        "absence",
        "address",
        "at_door",
        "blocked",
        "bye",
        "closing_due",
        "codec",
        "crowded",
        "early_bytes",
        "floor",
        "frames",
        "grant",
        "hello",
        "iid",
        "inbox",
        "keepalive",
        "lingers",
        "media",
        "members",
        "number",
        "opened",
        "out",
        "phase",
        "read_due",
        "reading",
        "replayed",
        "restoring",
        "scheduled",
        "session",
        "silent",
        "stage_due",
        "state",
        "to_read",
        "together",
        "token_due",
        "transport",
        "waiting",
        "welcome",
    )

    def __init__(self, number: int, address: str, dirty: set[int], now: float) -> None:
        self.number = number
        self.address = address
        self.transport = ServerTransport(now, SERVICE_PREFIX)
        self.phase = Phase.HTTP
        self.opened = now
        self.at_door = True
        """It has not said a valid hello."""
        self.crowded = False
        """It is one too many of those."""
        self.early_bytes = 0
        self.absence = 0.0
        """Seconds by which silence is judged more mildly, because the node itself was absent."""
        self.scheduled = NEVER
        """The deadline in the node's heap."""
        self.stage_due = NEVER
        """When a claim, a restore or a logout has taken too long."""
        self.token_due = NEVER
        self.closing_due = NEVER
        """When a socket that should have been closed is closed without mercy."""
        self.lingers = False
        """The client may still be sending what nobody reads: its socket is not closed at once behind the answer."""
        self.silent = False
        self.blocked = 0
        """Bytes that the socket did not take."""
        self.out: list[Any] = []
        self.frames: deque[bytes] | None = None
        """Data frames; made when there is one."""
        self._mixed = False
        self._measured = 0
        self._measured_bytes = 0
        self._dirty = dirty
        self.codec: Codec | None = None
        self.hello: Hello | None = None
        self.bye: Bye | None = None
        self.welcome: Welcome | None = None
        """What is said once the channel of an RTC or room session has been joined."""
        self.session: Session | None = None
        self.media: Session | None = None
        """The room session that a media connection belongs to, with this connection's place."""
        self.keepalive = OFFLINE_AFTER
        self.state: SessionState | None = None
        self.grant: Grant | None = None
        self.iid = ""
        self.floor = 0
        self.waiting: dict[int, Waiting] = {}
        self.restoring: dict[str, Restoring] = {}
        """Channels of the hello that are not answered."""
        self.members: dict[str, Member] = {}
        """Memberships by channel."""
        self.inbox: InboxLog | None = None
        self.together: Together | None = None
        """Channels of the hello, where the newest messages of all together are replayed."""
        self.to_read: list[Log] = []
        """Logs that wait to be read."""
        self.reading: Log | None = None
        """The log whose page was asked for."""
        self.read_due = NEVER
        self.replayed = 0
        """Bytes read from logs that are queued here."""

    def advance(self, cue: Cue) -> None:
        """Go to the phase that a cue leads to.

        Raises:
            LocalProtocolError: The cue has no place in this phase.
        """
        try:
            self.phase = PHASES[self.phase, cue]
        except KeyError:
            raise LocalProtocolError(
                f"The cue {cue.value!r} has no place in the phase {self.phase.value} of connection {self.number}."
            ) from None

    @property
    def heard(self) -> float:
        """When the client was last heard, the node's own absence made good."""
        return self.transport.last_received + self.absence

    # --- Output -----------------------------------------------------------------

    def say(self, packet: Packet) -> None:
        """Queue a packet for this connection alone."""
        self.out.append(packet)
        self._mixed = True
        self._dirty.add(self.number)

    def pull(self) -> None:
        """Queue what the transport made by itself: handshake, pongs, beats, the close frame."""
        made = self.transport.data_to_send()
        if made:
            self.out += made
            self._dirty.add(self.number)

    def take(self, now: float) -> list[bytes]:
        """What the socket gets next: at most about `limits.WRITE_CHUNK` bytes, nothing while it is blocked."""
        out = self.out
        if self.blocked or not out:
            return self._take_frames([], now) if self.frames and not self.blocked else []
        if self._mixed:
            self._encode()
        self.transport.last_sent = now
        self._measured = self._measured_bytes = 0
        taken = out[:]
        if len(taken) > 1 and sum(map(len, taken)) > WRITE_CHUNK:
            size = count = 0
            while size < WRITE_CHUNK:
                size += len(taken[count])
                count += 1
            del taken[count:]
        del out[: len(taken)]
        if out:
            self._dirty.add(self.number)
        else:
            self.replayed = 0
            if self.frames:
                return self._take_frames(taken, now)
        return taken

    def _take_frames(self, taken: list[bytes], now: float) -> list[bytes]:
        """Add data frames to what the socket gets, while there is room."""
        frames = self.frames
        assert frames is not None
        self.transport.last_sent = now
        size = sum(map(len, taken))
        while frames and size < WRITE_CHUNK:
            size += len(frames[0])
            taken.append(frames.popleft())
        return taken

    def measure(self) -> int:
        """Bytes that wait: queued here, and not taken by the socket."""
        if self._mixed:
            self._encode()
        fresh = self.out[self._measured :]
        self._measured += len(fresh)
        self._measured_bytes += sum(map(len, fresh))
        return self._measured_bytes + self.blocked

    def queue_frame(self, frame: bytes) -> None:
        """Queue a data frame."""
        frames = self.frames
        if frames is None:
            frames = self.frames = deque()
        frames.append(frame)

    def keep_newest_frames(self, most: int) -> int:
        """Forget the oldest data frames beyond so many; returns how many they were."""
        frames = self.frames
        assert frames is not None
        dropped = max(0, len(frames) - most)
        for _ in range(dropped):
            frames.popleft()
        return dropped

    def serve_last(self, dirty: set[int]) -> None:
        """From now on have the connection's output counted among that of media connections.

        Args:
            dirty: Numbers of those that have output; shared by all.
        """
        if self.number in self._dirty:
            self._dirty.discard(self.number)
            dirty.add(self.number)
        self._dirty = dirty

    def drop_output(self) -> None:
        """Forget what is queued."""
        self.frames = None
        self.out.clear()
        self._mixed = False
        self._measured = self._measured_bytes = self.replayed = 0

    def close(self, code: int, reason: str, now: float) -> None:
        """Make the close frame, behind all that is queued but data frames."""
        self.frames = None
        self.pull()
        self.transport.close(code, reason, now)
        self.pull()

    @property
    def open(self) -> bool:
        """Whether packets can be sent."""
        return self.transport.state is TransportState.OPEN

    def _encode(self) -> None:
        """Turn the packets in the queue into frames, runs of them into one."""
        codec = self.codec
        assert codec is not None
        encoded: list[bytes] = []
        run: list[Packet] = []
        weight = 0
        for item in self.out:
            if item.__class__ is bytes:
                if run:
                    encoded.append(server_message(codec, run))
                    run, weight = [], 0
                encoded.append(item)
                continue
            own = _weight(item)
            if run and (weight + own > ANSWER_BYTES or len(run) == PACKETS_PER_FRAME):
                encoded.append(server_message(codec, run))
                run, weight = [], 0
            run.append(item)
            weight += own
        if run:
            encoded.append(server_message(codec, run))
        self.out[:] = encoded
        self._mixed = False


_SMALL_PACKET: Final = 128
_LISTED_USER: Final = 72


def _weigh_attributes(attributes: dict[str, WrittenAttribute]) -> int:
    return _SMALL_PACKET + sum(_SMALL_PACKET + _LISTED_USER + len(one.value) for one in attributes.values())


_WEIGHTS: Final[dict[type[Any], Callable[[Any], int]]] = {
    ChannelEntry: lambda packet: _SMALL_PACKET + len(packet.body),
    InboxEntry: lambda packet: _SMALL_PACKET + len(packet.body),
    Roster: lambda packet: _SMALL_PACKET + _LISTED_USER * (len(packet.users or ()) + len(packet.unreachable)),
    MemberList: lambda packet: _SMALL_PACKET + _LISTED_USER * len(packet.users),
    UserList: lambda packet: _SMALL_PACKET + _LISTED_USER * len(packet.users),
    PeerStates: lambda packet: _SMALL_PACKET + _LISTED_USER * len(packet.states),
    OnlineList: lambda packet: _SMALL_PACKET + _LISTED_USER * len(packet.states),
    MemberCounts: lambda packet: _SMALL_PACKET + _LISTED_USER * len(packet.counts),
    AttributeList: lambda packet: (
        _SMALL_PACKET + sum(_SMALL_PACKET + len(value) for value in packet.attributes.values())
    ),
    ChannelAttributeList: lambda packet: _weigh_attributes(packet.attributes),
    ChannelAttributesChanged: lambda packet: _weigh_attributes(packet.attributes),
    MessagePage: lambda packet: (
        _SMALL_PACKET + sum(2 * _SMALL_PACKET + len(kept.body) for kept in packet.messages)
    ),
}


def _weight(packet: Packet) -> int:
    """About how many bytes a packet takes on the wire."""
    weigh = _WEIGHTS.get(packet.__class__)
    return _SMALL_PACKET if weigh is None else weigh(packet)
