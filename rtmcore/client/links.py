"""The transports of a session: the one that carries it, the one being brought up, and those that said goodbye."""

from collections.abc import Callable

import attrs

from rtmcore.client.config import ClientConfig, Endpoint, explain_invalid_token
from rtmcore.client.events import CloseTransport, Event, NeedToken, OpenTransport, Purpose, TokenReason
from rtmcore.connection.backoff import Backoff
from rtmcore.errors import InvalidArgument
from rtmcore.limits import BACKOFF_BASE
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

    def schedule(self, now: float, retry_after: float | None, end: float | None) -> bool:
        """Decide when the next attempt begins.

        Args:
            now: Monotonic seconds.
            retry_after: What the server asked for.
            end: When attempts end anyway; a wait beyond it would waste what time is left.

        Returns:
            True where it begins now; otherwise `next_at` says when.
        """
        begin = now + self._backoff.delay(retry_after)
        if retry_after is None and end is not None and begin >= end:
            halfway = (end - now) / 2
            begin = now + halfway if halfway >= BACKOFF_BASE else end
        self.next_at = begin if begin > now else None
        return self.next_at is None


class Tokens:
    """The token for the next hello.

    Args:
        config: Says whether a provider is asked, and holds the token otherwise.
        emit: Takes the question.
    """

    def __init__(self, config: ClientConfig, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._provider = config.token_provider
        self._value = config.token
        self._asked = False
        self._fresh = False
        self._known = not config.token_provider

    @property
    def ready(self) -> bool:
        """Whether there is a token that was not used yet, or none is needed."""
        return self._fresh or not self._provider

    @property
    def known(self) -> bool:
        """Whether there is a token at all, if only an old one."""
        return self._known

    def ask(self, reason: TokenReason) -> None:
        """An attempt begins: ask the provider, unless its last answer is still unused or on its way."""
        if not self.ready and not self._asked:
            self._asked = True
            self._emit(NeedToken(reason))

    def use(self) -> str | None:
        """The token for a hello."""
        self._fresh = False
        return self._value

    def received(self, value: str | None) -> None:
        """The provider has answered.

        Raises:
            InvalidArgument: Its answer is no token.
        """
        self._asked = False
        wrong = explain_invalid_token(value)
        if wrong is not None:
            raise InvalidArgument(wrong, operation="token provider")
        self._value = value
        self._fresh = self._known = True

    def failed(self) -> None:
        """The provider could not answer."""
        self._asked = False
