"""What was sent and published, in the order in which the node took it."""

import attrs

from rtmcore.codes import MessageType
from rtmcore.models import SendStatus
from rtmcore.service.commands.messages import Logged, PeerOutcome, PeerSend, PublishAs, PublishMessage, SendAs
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.table import Answer, Command, Output
from rtmcore.service.engine import EnginePort
from rtmcore.wire.described import read_body

_PEER = (PeerSend, SendAs)
_CHANNEL = (PublishMessage, PublishAs)


@attrs.define
class Sent:
    """A message that was sent to a user, or published to a channel.

    Attributes:
        sender: Who it comes from.
        peer: The user that it went to; None for a message to a channel.
        channel: The channel; None for a message to a user.
        kind: What it carries.
        body: Its bytes.
        description: What there is to say about bytes; None where nothing was said.
        offline: Whether it was to be stored where the user is offline.
        history: Whether it was to be kept in the history.
        ttl: Seconds after which it was to be dropped where it was stored; None where none were named.
        id: Its id; None where it has none, or none yet.
        status: What became of a message to a user; None where nobody waits for an acknowledgement, while one is
            waited for, and for messages to channels.
    """

    sender: str
    peer: str | None
    channel: str | None
    kind: MessageType
    body: bytes = attrs.field(repr=False)
    description: str | None = attrs.field(default=None, repr=False)
    offline: bool = False
    history: bool = False
    ttl: float | None = None
    id: int | None = None
    status: SendStatus | None = None

    @property
    def destination(self) -> str:
        """The user or the channel."""
        return self.peer or self.channel or ""

    @property
    def text(self) -> str | None:
        """The body of a text; None for other messages."""
        return self.body.decode("utf-8", "replace") if self.kind is MessageType.TEXT else None

    @property
    def raw(self) -> bytes | None:
        """The body of a raw message; None for other messages."""
        return self.body if self.kind is MessageType.RAW else None


class Outbox:
    """An engine's port that takes down what is sent over it.

    Args:
        port: The engine's own.
        app: The app whose messages are taken down.

    Attributes:
        sent: What was sent so far. What the engine has refused is not in it, and a repeat is in it once.
    """

    def __init__(self, port: EnginePort, app: str) -> None:
        self._port = port
        self._app = app
        self._known: dict[tuple[object, ...], Sent] = {}
        self.sent: list[Sent] = []

    def submit(self, command: Command, now: float, wall: int) -> None:
        """See `EnginePort`."""
        if isinstance(command, (*_PEER, *_CHANNEL)):
            self._note(command)
        self._port.submit(command, now, wall)

    def handle_timer(self, now: float, wall: int) -> None:
        """See `EnginePort`."""
        self._port.handle_timer(now, wall)

    def next_deadline(self) -> float | None:
        """See `EnginePort`."""
        return self._port.next_deadline()

    def next_output(self) -> Output | None:
        """See `EnginePort`."""
        output = self._port.next_output()
        if isinstance(output, Answer) and isinstance(output.command, (*_PEER, *_CHANNEL)):
            self._answered(output.command, output.value)
        return output

    def shift(self, seconds: float) -> None:
        """See `EnginePort`."""
        self._port.shift(seconds)

    def _note(self, command: PeerSend | SendAs | PublishMessage | PublishAs) -> None:
        name = command.name if isinstance(command, SendAs | PublishAs) else command.session.name
        if name.app != self._app or _identity(command) in self._known:
            return
        kind, body, description = read_body(command.kind, command.body)
        if kind is MessageType.UNDEFINED:
            return  # what calls are made of
        peer, channel = (command.to, None) if isinstance(command, _PEER) else (None, command.channel)
        sent = Sent(name.name, peer, channel, kind, body, description, history=command.history)
        if isinstance(command, _PEER):
            sent.offline, sent.ttl = command.offline, command.ttl
        self._known[_identity(command)] = sent
        self.sent.append(sent)

    def _answered(self, command: PeerSend | SendAs | PublishMessage | PublishAs, value: object) -> None:
        sent = self._known.get(_identity(command))
        if sent is None:
            return
        if isinstance(value, Logged):
            sent.id = value.id
        elif isinstance(value, PeerOutcome):
            sent.id = value.id or sent.id
            sent.status = SendStatus(value.code)
        elif isinstance(value, Refusal) and value.code is not Trouble.TIMED_OUT and sent.id is None:
            self.sent[:] = [each for each in self.sent if each is not sent]


def _identity(command: PeerSend | SendAs | PublishMessage | PublishAs) -> tuple[object, ...]:
    """What a repeat has in common with the first."""
    if isinstance(command, SendAs | PublishAs):
        return command.name, command.key
    return command.session.name, command.iid, command.cmid
