"""What a client asks and tells about users: their online states, and its own user's attributes.

Both belong to the session. Where a return finds that the session was over, or that the server has lost its memory,
they are brought back before the client counts as connected again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from rtmcore.arguments import explain_invalid_attributes, explain_invalid_users
from rtmcore.client.batching import request_size
from rtmcore.client.events import Event, PresenceChanged
from rtmcore.client.rates import Rates
from rtmcore.client.requests import (
    GET_ATTRIBUTES,
    RESTORE,
    SET_ATTRIBUTES,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Operation,
    Requests,
    Ticket,
)
from rtmcore.codes import PeerOnlineState, PeerSubscriptionStatusError
from rtmcore.connection.model import State
from rtmcore.errors import InvalidArgument, LimitExceeded, RequestTimeout, error_for
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    OPERATION_TIMEOUT,
    PRESENCE_SUBSCRIPTIONS,
    PRESENCE_TIMEOUT,
    REQUEST_OVERHEAD,
    UNREACHABLE_AFTER,
    USER_ID_BYTES,
)
from rtmcore.wire.packets import (
    AttributeList,
    GetAttributes,
    PeerStates,
    SetAttributes,
    Subscribe,
    Unsubscribe,
)

_STATES: Final = {int(state): state for state in PeerOnlineState}
_LISTED_USER: Final = USER_ID_BYTES + 8
_LISTED_ATTRIBUTE: Final = 16


class Calls(Protocol):
    """What makes requests for the parts of a client."""

    def begin(self, operation: Operation, now: float) -> None:
        """Note the time, and refuse a call that needs a login where there is none."""

    def request(self, operation: Operation, packet: Any, size: int, timeout: float, now: float) -> Ticket:
        """Take in a request, and write it as soon as that is possible."""

    @property
    def current_state(self) -> State:
        """The connection's state, for errors."""


class Users:
    """The presence and the attributes of one client.

    Args:
        calls: Makes requests.
        requests: Gives them their ids.
        rates: Judges how often.
        emit: Takes events for the application.
        restored: Called when the server has answered for all that was to be brought back, with the time.

    Attributes:
        withheld: Worse states that a server reports after it lost its memory, and when they count: they may be
            outdated.
    """

    def __init__(
        self,
        calls: Calls,
        requests: Requests,
        rates: Rates,
        emit: Callable[[Event], None],
        restored: Callable[[float], None],
    ) -> None:
        self._calls = calls
        self._requests = requests
        self._rates = rates
        self._emit = emit
        self._restored = restored
        # Users subscribed to; None as long as the server has not told the state of one.
        self._states: dict[str, PeerOnlineState | None] = {}
        # States that came before the answer to the subscription.
        self._early: dict[str, PeerOnlineState] = {}
        self.withheld: dict[str, tuple[PeerOnlineState, float]] = {}
        # Until when states are withheld so: for UNREACHABLE, and for OFFLINE.
        self._doubtful: tuple[float, float] | None = None
        # States that came while the session was being restored: they are told after that.
        self._held: dict[str, PeerOnlineState] = {}
        self._stands = False
        self._attributes: dict[str, str] = {}
        self._restores: set[int] = set()

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> frozenset[str]:
        """The users whose online states this client has subscribed to."""
        return frozenset(self._states)

    @property
    def peer_states(self) -> dict[str, PeerOnlineState]:
        """Their states, as far as the server has told them."""
        return {user: state for user, state in self._states.items() if state is not None}

    @property
    def restoring(self) -> bool:
        """Whether the server has not answered yet for what is brought back."""
        return bool(self._restores)

    # --- Intents ------------------------------------------------------------------------------------------------

    def subscribe(self, users: Iterable[str], *, timeout: float = PRESENCE_TIMEOUT, now: float) -> Ticket:
        """Subscribe to the online states of users. The ticket's value is None; a `PresenceChanged` follows it.

        Args:
            users: User ids, at most `limits.PRESENCE_SUBSCRIPTIONS` with those of earlier calls. Those who are
                subscribed to already do not count twice.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A user id is not valid, or there is none (2).
            LimitExceeded: Too many users in all (6), or too much waits for an answer.
            RateLimited: More than `limits.PRESENCE_SUBSCRIBE_RATE` (5).
        """
        names = self._checked_users(SUBSCRIBE, users, now)
        wanted = set(names).union(self._states, *self._asked_for(Subscribe))
        if len(wanted) > PRESENCE_SUBSCRIPTIONS:
            raise LimitExceeded(
                f"This client would be subscribed to {len(wanted)} users; at most {PRESENCE_SUBSCRIPTIONS} are "
                "allowed.",
                code=PeerSubscriptionStatusError.OVERFLOW,
                operation=SUBSCRIBE.name,
                state=self._calls.current_state.name,
                hint="Unsubscribe from some of them first.",
            )
        size = self._room(SUBSCRIBE, REQUEST_OVERHEAD + _LISTED_USER * len(names))
        self._rates.admit_subscribe(now, self._calls.current_state)
        return self._calls.request(SUBSCRIBE, Subscribe(self._requests.next_id(), names), size, timeout, now)

    def unsubscribe(self, users: Iterable[str], *, timeout: float = PRESENCE_TIMEOUT, now: float) -> Ticket:
        """Unsubscribe from the online states of users. The ticket's value is None; unknown users are no error.

        Args:
            users: User ids, at most `limits.PRESENCE_SUBSCRIPTIONS`.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A user id is not valid, or there is none (2).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.PRESENCE_SUBSCRIBE_RATE` (5).
        """
        names = self._checked_users(UNSUBSCRIBE, users, now)
        size = self._room(UNSUBSCRIBE, REQUEST_OVERHEAD + _LISTED_USER * len(names))
        self._rates.admit_unsubscribe(now, self._calls.current_state)
        packet = Unsubscribe(self._requests.next_id(), names)
        return self._calls.request(UNSUBSCRIBE, packet, size, timeout, now)

    def set_attributes(
        self, attributes: Mapping[str, str], *, timeout: float = OPERATION_TIMEOUT, now: float
    ) -> Ticket:
        """Replace all attributes of this user; an empty mapping clears them. The ticket's value is None.

        They end with the session, and are sent again when a reconnect took longer than that.

        Args:
            attributes: Value by key: at most `limits.USER_ATTRIBUTES`, keys of 1 to `limits.ATTRIBUTE_KEY_BYTES`
                visible characters, values of 1 to `limits.ATTRIBUTE_VALUE_BYTES`, together at most
                `limits.USER_ATTRIBUTES_BYTES`.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A key or value is not valid (3).
            LimitExceeded: They are too many or too large (4), or too much waits for an answer.
            RateLimited: More than `limits.USER_ATTRIBUTES_WRITE_RATE` (5).
        """
        self._calls.begin(SET_ATTRIBUTES, now)
        if not isinstance(attributes, Mapping):
            raise InvalidArgument(
                f"Attributes are a mapping of strings, not {type(attributes).__name__}.",
                code=SET_ATTRIBUTES.invalid,
                operation=SET_ATTRIBUTES.name,
                state=self._calls.current_state.name,
            )
        copied = dict(attributes)
        wrong = explain_invalid_attributes(copied)
        if wrong is not None:
            code, text = wrong
            raise error_for(code, text, operation=SET_ATTRIBUTES.name, state=self._calls.current_state.name)
        size = self._room(SET_ATTRIBUTES, _attributes_size(copied))
        self._rates.admit_attributes_write(now, self._calls.current_state)
        packet = SetAttributes(self._requests.next_id(), copied)
        return self._calls.request(SET_ATTRIBUTES, packet, size, timeout, now)

    def get_attributes(self, user: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Ask for the attributes of a user. The ticket's value is a dict of value by key.

        Args:
            user: Any user, this one included.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The user id is not valid (3).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.USER_ATTRIBUTES_READ_RATE` (5).
        """
        self._calls.begin(GET_ATTRIBUTES, now)
        wrong = explain_invalid_id(user, "user id")
        if wrong is not None:
            raise InvalidArgument(
                wrong,
                code=GET_ATTRIBUTES.invalid,
                operation=GET_ATTRIBUTES.name,
                state=self._calls.current_state.name,
            )
        size = self._room(GET_ATTRIBUTES, request_size(b""))
        self._rates.admit_attributes_read(now, self._calls.current_state)
        return self._calls.request(
            GET_ATTRIBUTES, GetAttributes(self._requests.next_id(), user), size, timeout, now
        )

    def _checked_users(self, operation: Operation, users: Iterable[str], now: float) -> list[str]:
        self._calls.begin(operation, now)
        if isinstance(users, str) or not isinstance(users, Iterable):
            raise InvalidArgument(
                f"Users are a list of user ids, not {type(users).__name__}.",
                code=operation.invalid,
                operation=operation.name,
                state=self._calls.current_state.name,
                hint="Put a single user id into a list.",
            )
        listed = list(users)
        wrong = explain_invalid_users(listed)
        if wrong is not None:
            code, text = wrong
            raise error_for(code, text, operation=operation.name, state=self._calls.current_state.name)
        return list(dict.fromkeys(listed))

    def _room(self, operation: Operation, size: int) -> int:
        self._requests.check_room(operation, size, self._calls.current_state)
        return size

    def _asked_for(self, kind: type[Subscribe]) -> list[list[str]]:
        """The users of the subscriptions that have no answer yet."""
        return [ticket.packet.users for ticket in self._requests if isinstance(ticket.packet, kind)]

    # --- A return -----------------------------------------------------------------------------------------------

    def welcomed(self, *, kept: bool, new_epoch: bool, over_after: float, timeout: float, now: float) -> None:
        """A session begins or goes on: bring back what the server does not know any more.

        Args:
            kept: Whether the server still knows it.
            new_epoch: Whether the server has lost its memory: then others may not be back themselves.
            over_after: Seconds that those have to come back.
            timeout: How long restoring may take, in seconds.
            now: Monotonic seconds.
        """
        self._restores.clear()
        self._stands = False
        self._doubtful = (now + UNREACHABLE_AFTER, now + over_after) if new_epoch else None
        if kept:
            return
        if self._states:
            users = list(self._states)
            packet = Subscribe(self._requests.next_id(), users, restore=True)
            self._restore(packet, REQUEST_OVERHEAD + _LISTED_USER * len(users), timeout, now)
        if self._attributes:
            attributes = SetAttributes(self._requests.next_id(), dict(self._attributes), restore=True)
            self._restore(attributes, _attributes_size(self._attributes), timeout, now)

    def _restore(self, packet: Subscribe | SetAttributes, size: int, timeout: float, now: float) -> None:
        self._restores.add(packet.i)
        self._calls.request(RESTORE, packet, size, timeout, now)

    def connected(self, now: float) -> None:
        """The session stands: tell what has changed meanwhile."""
        self._stands = True
        held, self._held = self._held, {}
        self._take(held, now)

    def session_over(self) -> None:
        """The session has ended, and all this with it."""
        self._stands = False
        self._held.clear()
        self._states.clear()
        self._early.clear()
        self.withheld.clear()
        self._doubtful = None
        self._attributes.clear()
        self._restores.clear()

    # --- Answers ------------------------------------------------------------------------------------------------

    def settled(self, ticket: Ticket, now: float) -> None:
        """A request about users is over, in whichever way."""
        packet = ticket.packet
        if ticket.operation is RESTORE:
            if packet is not None and packet.i in self._restores:
                self._restores.discard(packet.i)
                if not self._restores:
                    self._restored(now)
            return
        if ticket.error is None:
            if isinstance(packet, SetAttributes):
                self._attributes = packet.attributes
            elif isinstance(packet, Subscribe):
                for user in packet.users:
                    self._states.setdefault(user, None)
                self._take({user: self._early[user] for user in packet.users if user in self._early}, now)
            elif isinstance(packet, Unsubscribe):
                self._forget(packet.users)
        elif isinstance(packet, Unsubscribe) and ticket.written and isinstance(ticket.error, RequestTimeout):
            # Nobody knows whether it was carried out: what comes is ignored, and not asked for after a return.
            self._forget(packet.users)
        if isinstance(packet, Subscribe):
            for user in packet.users:
                self._early.pop(user, None)

    def _forget(self, users: list[str]) -> None:
        for user in users:
            self._states.pop(user, None)
            self.withheld.pop(user, None)

    def attribute_list(self, packet: AttributeList, _: float) -> None:
        """The server has answered what attributes a user has."""
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is GET_ATTRIBUTES:
            self._requests.succeed(ticket, packet.attributes)

    def told(self, packet: PeerStates, now: float) -> None:
        """The server tells the states of users."""
        states = {user: _STATES[state] for user, state in packet.states.items() if state in _STATES}
        unknown = [user for user in states if user not in self._states]
        if unknown:
            awaited = set().union(*self._asked_for(Subscribe))
            for user in unknown:
                state = states.pop(user)
                if user in awaited:
                    self._early[user] = state
        self._take(states, now)

    def _take(self, states: dict[str, PeerOnlineState], now: float) -> None:
        if not self._stands:
            self._held.update(states)
            return
        changed = {}
        for user, state in states.items():
            self.withheld.pop(user, None)
            known = self._states.get(user, state)
            if known is state:
                continue
            until = self._doubt(known, state)
            if until > now:
                self.withheld[user] = (state, until)
            else:
                self._states[user] = changed[user] = state
        if changed:
            self._emit(PresenceChanged(changed))

    def _doubt(self, known: PeerOnlineState | None, state: PeerOnlineState) -> float:
        """Until when a state is not believed: a server without its memory knows of few who are there."""
        if self._doubtful is None or known is None or state is PeerOnlineState.ONLINE:
            return 0.0
        if known is PeerOnlineState.OFFLINE:
            return 0.0
        unreachable, offline = self._doubtful
        return unreachable if state is PeerOnlineState.UNREACHABLE else offline

    # --- Time ---------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        if not self.withheld:
            return None
        return min(until for _, until in self.withheld.values())

    def handle_timer(self, now: float) -> None:
        """Tell what was withheld for long enough."""
        if not self.withheld:
            return
        due = {user: state for user, (state, until) in self.withheld.items() if now >= until}
        if due:
            for user, state in due.items():
                del self.withheld[user]
                self._states[user] = state
            self._emit(PresenceChanged(due))


def _attributes_size(attributes: Mapping[str, str]) -> int:
    """Bytes that the attributes need at most, in whichever encoding (JSON escapes a character with six bytes)."""
    return REQUEST_OVERHEAD + sum(
        _LISTED_ATTRIBUTE + 6 * (len(key) + len(value)) for key, value in attributes.items()
    )
