"""What a driver runs: any core with the common verbs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from rtmcore.client.events import Event
from rtmcore.client.requests import Ticket
from rtmcore.codes import PeerConnectionState
from rtmcore.errors import RtmError

if TYPE_CHECKING:
    from rtmcore.client.config import ClientConfig
    from rtmcore.models import ConnectionInfo


class Core(Protocol):
    """The verbs of every client core; see `rtmcore.client.core.ClientCore`. Its intents are its own."""

    @property
    def state(self) -> Any:
        """The documented state of the connection."""

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over the transports."""

    def connection(self, now: float) -> "ConnectionInfo":
        """How the connection stands."""

    def transport_opened(self, link_id: int, now: float) -> None:
        """A transport that was asked for is open."""

    def transport_failed(self, link_id: int, error: RtmError, now: float) -> None:
        """A transport that was asked for could not be opened, or is lost."""

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes were read from a transport."""

    def receive_eof(self, link_id: int, now: float) -> None:
        """A transport has ended."""

    def token(self, value: str | None, now: float) -> None:
        """The answer to `NeedToken`."""

    def token_failed(self, error: RtmError, now: float) -> None:
        """The token provider raised, or took too long."""

    def handle_timer(self, now: float) -> None:
        """Act on what is due."""

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None."""

    def next_event(self) -> Event | None:
        """The next event, or None."""

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """Bytes by transport, in the order in which they were made."""

    def renew_token(self, token: str, *, timeout: float, now: float) -> Ticket:
        """Hand over another token."""

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Withdraw a request whose bytes cannot have left."""

    def close(self, now: float) -> Ticket:
        """Say goodbye, and end for good."""


C = TypeVar("C", bound=Core)
C_co = TypeVar("C_co", bound=Core, covariant=True)


class CoreMaker(Protocol[C_co]):
    """How each kind of core is made."""

    def __call__(
        self,
        config: "ClientConfig",
        *,
        iid: str,
        random: Callable[[], float],
        mask_key: Callable[[], bytes],
        nonce: Callable[[], bytes],
    ) -> C_co:
        """Make a core; see `ClientCore`."""


def described(change: Any) -> str:
    """What a change to a documented state says, for logs."""
    cause = "" if change.cause is None else f": {change.cause}"
    return f"{change.state.name} ({change.reason.name}){cause}"


@attrs.frozen
class Profile(Generic[C]):
    """What a driver has to know about a kind of core besides its verbs.

    Attributes:
        make: The class of the core.
        resting: States in which nothing is under way: without transports the network thread ends.
        connected: The state in which everything works.
        off: The state of one whose threads have died.
        final: States that nothing leaves: when all is said, the queues end and the threads with them.
        changes: Classes of the events that tell of a state.
        describe: What such an event says, for the log; without a failure behind it.
        broken: The event for an end by failure of the library itself, made of the state before and the error.
        handed_over: Tells the core up to which position peer messages were taken; None where there are none.
    """

    make: "CoreMaker[C]"
    resting: frozenset[Any]
    connected: Any
    off: Any
    changes: tuple[type[Any], ...]
    describe: Callable[[Any], str]
    broken: Callable[[Any, RtmError], object]
    final: frozenset[Any] = frozenset()
    handed_over: Callable[[C, int, float], None] | None = None
