"""The transports of a session: the one that carries it, the one being brought up, and those that said goodbye."""

from collections.abc import Callable

import attrs

from rtmcore.client.config import ClientConfig, Endpoint
from rtmcore.client.events import CloseTransport, Event, OpenTransport, Purpose
from rtmcore.wire.packets import Refused
from rtmcore.wire.transport import ClientTransport, TransportState


@attrs.define(eq=False)
class Link:
    """One transport: its connection, and how far it has come."""

    id: int
    """Also the number of the attempt in its hello."""
    endpoint: Endpoint
    begun: float
    """When the attempt began."""
    deadline: float
    """By when it has to be welcomed."""
    transport: ClientTransport | None = None
    """None as long as the driver opens the connection."""
    gone: bool = False
    """Nothing that comes from it matters any more."""
    hello_sent: bool = False
    token: int = 0
    """Which token its hello carried, as `Tokens` numbers them."""
    floor: int = 0
    """The oldest id that its hello said may be repeated."""
    restores: dict[str, int] = attrs.field(factory=dict)
    """The channels in its hello, with the number of messages that had been taken from each."""
    refusal: Refused | None = None
    """The server's answer to the hello, if it was no; the close code behind it says what to do about it."""

    @property
    def open(self) -> bool:
        """Whether packets can be sent."""
        return self.transport is not None and self.transport.state is TransportState.OPEN

    @property
    def waits_for(self) -> str:
        """How far it has come, as the end of a sentence about a time-out."""
        if self.transport is None:
            return "the connection was not established"
        if not self.open:
            return "the server had not answered the WebSocket upgrade"
        if self.hello_sent:
            return "the server had not answered the hello"
        return "the token provider had not answered"


class Links:
    """All transports of a client object. It opens and closes them; it does not judge what comes on them.

    Args:
        config: The client's settings.
        emit: Takes events for the driver.
        mask_key: Four unpredictable bytes at each call.
        nonce: 16 random bytes at each call.

    Attributes:
        current: The transport that the server has welcomed: it carries the session.
        candidate: The transport that is being brought up.
        latest: Number of the latest attempt.
    """

    def __init__(
        self,
        config: ClientConfig,
        emit: Callable[[Event], None],
        mask_key: Callable[[], bytes],
        nonce: Callable[[], bytes],
    ) -> None:
        self._config = config
        self._emit = emit
        self._mask_key = mask_key
        self._nonce = nonce
        self._output: list[tuple[int, bytes]] = []
        # Transports that said goodbye and wait for the server to close, with the time that they wait at most.
        self._leaving: dict[int, tuple[Link, float]] = {}
        self.current: Link | None = None
        self.candidate: Link | None = None
        self.latest = 0

    @property
    def leaving(self) -> bool:
        """Whether a goodbye is still on its way."""
        return bool(self._leaving)

    def find(self, link_id: int) -> Link | None:
        """The transport of an id; None where it does not matter any more."""
        for link in (self.current, self.candidate):
            if link is not None and link.id == link_id:
                return link
        found = self._leaving.get(link_id)
        return found[0] if found is not None else None

    def open(self, purpose: Purpose, endpoint: Endpoint, now: float, deadline: float) -> None:
        """Begin an attempt."""
        self.latest += 1
        self.candidate = Link(self.latest, endpoint, now, deadline)
        self._emit(
            OpenTransport(self.latest, purpose, endpoint.url, endpoint.host, endpoint.port, endpoint.tls)
        )

    def connect(self, link: Link, now: float) -> None:
        """The driver has opened the connection: begin the WebSocket handshake."""
        link.transport = ClientTransport(
            host=link.endpoint.authority,
            target=link.endpoint.target,
            subprotocols=self._config.subprotocols,
            nonce=self._nonce(),
            mask_key=self._mask_key,
            now=now,
        )

    def promote(self) -> None:
        """The candidate was welcomed: it carries the session now, and the old transport is closed."""
        old = self.current
        self.current, self.candidate = self.candidate, None
        if old is not None:
            self.close(old)

    def close(self, link: Link, *, failed: bool = False) -> None:
        """Let go of a transport.

        Args:
            link: The transport.
            failed: True where the driver itself has reported its end.
        """
        if self.current is link:
            self.current = None
        if self.candidate is link:
            self.candidate = None
        self._leaving.pop(link.id, None)
        link.gone = True
        if link.transport is not None and not failed:
            self._output.extend((link.id, data) for data in link.transport.data_to_send())
        if not failed:
            self._emit(CloseTransport(link.id))

    def let_leave(self, link: Link, until: float) -> None:
        """Keep a transport open until the server has closed it, since its goodbye is on the way."""
        if self.current is link:
            self.current = None
        if self.candidate is link:
            self.candidate = None
        self._leaving[link.id] = (link, until)

    def handle_timer(self, now: float) -> None:
        """Send beats, and close transports whose goodbye is not answered in time."""
        if self.current is not None and self.current.transport is not None:
            self.current.transport.handle_timer(now)
        for link, until in list(self._leaving.values()):
            if now >= until:
                self.close(link)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        current = self.current
        due = current.transport.next_deadline() if current is not None and current.transport else None
        for _, until in self._leaving.values():
            due = until if due is None else min(due, until)
        return due

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, with the id of their transport."""
        output, self._output = self._output, []
        if self.current is not None:
            _take_output(self.current, output)
        if self.candidate is not None:
            _take_output(self.candidate, output)
        for link, _ in self._leaving.values():
            _take_output(link, output)
        return output


def _take_output(link: Link, output: list[tuple[int, bytes]]) -> None:
    if link.transport is not None:
        made = link.transport.data_to_send()
        if made:
            output.extend([(link.id, data) for data in made])
