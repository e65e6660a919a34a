"""What a client asks and tells about users: their online states, and its own user's attributes.

Both belong to the session. Where a return finds that the session was over, or that the server has lost its memory,
they are brought back before the client counts as connected again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from rtmcore.arguments import (
    explain_invalid_attributes,
    explain_invalid_query,
    explain_invalid_users,
    fitting_attributes,
)
from rtmcore.client.calls import (
    Calls,
    attributes_size,
    checked_attributes,
    checked_keys,
    checked_list,
    invalid,
    keys_size,
    names_size,
    refuse,
)
from rtmcore.client.events import Event, NotRestored, PresenceChanged
from rtmcore.client.requests import (
    CLEAR_ATTRIBUTES,
    DELETE_ATTRIBUTES,
    GET_ATTRIBUTES,
    QUERY_PRESENCE,
    RESTORE_ATTRIBUTES,
    RESTORE_SUBSCRIPTIONS,
    RESTORES,
    SET_ATTRIBUTES,
    SUBSCRIBE,
    SUBSCRIBED_PEERS,
    UNSUBSCRIBE,
    UPDATE_ATTRIBUTES,
    Operation,
    Requests,
    Ticket,
)
from rtmcore.codes import (
    AttributeOperationError,
    PeerOnlineState,
    PeerSubscriptionOption,
    PeerSubscriptionStatusError,
)
from rtmcore.errors import LimitExceeded, RequestTimeout, RtmError, error_for
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    OPERATION_TIMEOUT,
    PRESENCE_TIMEOUT,
    REQUEST_OVERHEAD,
    UNREACHABLE_AFTER,
)
from rtmcore.models import PeerStatus
from rtmcore.wire.packets import (
    AttributeList,
    GetAttributes,
    GetSubscriptions,
    OnlineList,
    PeerStates,
    QueryOnline,
    Request,
    SetAttributes,
    Subscribe,
    Unsubscribe,
    UpdateAttributes,
    UserList,
)

_STATES: Final = {int(state): state for state in PeerOnlineState}
_CHANGES: Final = (SetAttributes, UpdateAttributes)


class Users:
    """The presence and the attributes of one client.

    Args:
        calls: Makes requests.
        requests: Gives them their ids.
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
        emit: Callable[[Event], None],
        restored: Callable[[float], None],
    ) -> None:
        self._calls = calls
        self._requests = requests
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
        # Requests that bring something back; those that failed while no transport carried the session.
        self._restores: set[int] = set()
        self._late: list[tuple[RtmError, list[str], list[str]]] = []
        self._carried = False

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
        most = self._calls.sizes.subscriptions
        if len(wanted) > most:
            raise LimitExceeded(
                f"This client would be subscribed to {len(wanted)} users; at most {most} are allowed.",
                code=PeerSubscriptionStatusError.OVERFLOW,
                operation=SUBSCRIBE.name,
                state=self._calls.current_state.name,
                hint="Unsubscribe from some of them first.",
            )
        size = names_size(names)
        self._calls.admit(SUBSCRIBE, size, now)
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
        size = names_size(names)
        self._calls.admit(UNSUBSCRIBE, size, now)
        packet = Unsubscribe(self._requests.next_id(), names)
        return self._calls.request(UNSUBSCRIBE, packet, size, timeout, now)

    def query(self, users: Iterable[str], *, timeout: float = PRESENCE_TIMEOUT, now: float) -> Ticket:
        """Ask for the online states of users, once. The ticket's value is a tuple of `PeerStatus`, in that order.

        Args:
            users: User ids, 1 to `limits.PRESENCE_QUERY_USERS`.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A user id is not valid, there is none, or there are too many (2).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.PRESENCE_QUERY_RATE` (5).
        """
        self._calls.begin(QUERY_PRESENCE, now)
        names = checked_list(self._calls, QUERY_PRESENCE, users, "Users")
        refuse(self._calls, QUERY_PRESENCE, explain_invalid_query(names, self._calls.sizes))
        size = names_size(names)
        self._calls.admit(QUERY_PRESENCE, size, now)
        packet = QueryOnline(self._requests.next_id(), names)
        return self._calls.request(QUERY_PRESENCE, packet, size, timeout, now)

    def subscribed(
        self,
        option: PeerSubscriptionOption = PeerSubscriptionOption.ONLINE_STATUS,
        *,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Ask the server which users this client has subscribed to. The ticket's value is a tuple of user ids.

        Args:
            option: To what of them; there is only their online status.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: No such option (1).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.PEERS_SUBSCRIBED_RATE` (3).
        """
        self._calls.begin(SUBSCRIBED_PEERS, now)
        if option not in tuple(PeerSubscriptionOption):
            raise invalid(self._calls, SUBSCRIBED_PEERS, f"There is no subscription option {option!r}.")
        self._calls.admit(SUBSCRIBED_PEERS, REQUEST_OVERHEAD, now)
        packet = GetSubscriptions(self._requests.next_id())
        return self._calls.request(SUBSCRIBED_PEERS, packet, REQUEST_OVERHEAD, timeout, now)

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
        copied = checked_attributes(self._calls, SET_ATTRIBUTES, attributes, of_channel=False)
        return self._replace(SET_ATTRIBUTES, copied, timeout, now)

    def clear_attributes(self, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Delete all attributes of this user. The ticket's value is None.

        Args:
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.USER_ATTRIBUTES_WRITE_RATE` (5), with the other changes.
        """
        self._calls.begin(CLEAR_ATTRIBUTES, now)
        return self._replace(CLEAR_ATTRIBUTES, {}, timeout, now)

    def update_attributes(
        self, attributes: Mapping[str, str], *, timeout: float = OPERATION_TIMEOUT, now: float
    ) -> Ticket:
        """Add some attributes of this user, or change them; the others stay. The ticket's value is None.

        Args:
            attributes: Value by key, as for `set_attributes`; the limits hold for all together.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A key or value is not valid (3).
            LimitExceeded: They would be too many or too large (4), or too much waits for an answer.
            RateLimited: More than `limits.USER_ATTRIBUTES_WRITE_RATE` (5), with the other changes.
        """
        operation = UPDATE_ATTRIBUTES
        self._calls.begin(operation, now)
        changed = checked_attributes(self._calls, operation, attributes, of_channel=False)
        if not any(isinstance(ticket.packet, _CHANGES) for ticket in self._requests):
            # What waits for an answer may make room; then the server judges.
            all_of_them = {**self._attributes, **changed}
            refuse(self._calls, operation, explain_invalid_attributes(all_of_them, sizes=self._calls.sizes))
        size = attributes_size(changed)
        self._calls.admit(operation, size, now)
        packet = UpdateAttributes(self._requests.next_id(), changed)
        return self._calls.request(operation, packet, size, timeout, now)

    def delete_attributes(
        self, keys: Iterable[str], *, timeout: float = OPERATION_TIMEOUT, now: float
    ) -> Ticket:
        """Delete some attributes of this user. The ticket's value is None; unknown keys are no error.

        Args:
            keys: Of the attributes, 1 to `limits.USER_ATTRIBUTES`.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A key is not valid, or there is none (3).
            LimitExceeded: Too many keys (4), or too much waits for an answer.
            RateLimited: More than `limits.USER_ATTRIBUTES_WRITE_RATE` (5), with the other changes.
        """
        self._calls.begin(DELETE_ATTRIBUTES, now)
        deleted = checked_keys(self._calls, DELETE_ATTRIBUTES, keys, of_channel=False)
        size = keys_size(deleted)
        self._calls.admit(DELETE_ATTRIBUTES, size, now)
        packet = UpdateAttributes(self._requests.next_id(), deleted=deleted)
        return self._calls.request(DELETE_ATTRIBUTES, packet, size, timeout, now)

    def get_attributes(
        self, user: str, keys: Iterable[str] | None = None, *, timeout: float = OPERATION_TIMEOUT, now: float
    ) -> Ticket:
        """Ask for the attributes of a user. The ticket's value is a dict of value by key.

        Args:
            user: Any user, this one included.
            keys: Only these, as far as there are such; None for all.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The user id or a key is not valid (3).
            LimitExceeded: Too many keys (4), or too much waits for an answer.
            RateLimited: More than `limits.USER_ATTRIBUTES_READ_RATE` (5).
        """
        self._calls.begin(GET_ATTRIBUTES, now)
        wrong = explain_invalid_id(user, "user id", self._calls.sizes.user_id)
        if wrong is not None:
            raise invalid(self._calls, GET_ATTRIBUTES, wrong)
        listed = None if keys is None else checked_keys(self._calls, GET_ATTRIBUTES, keys, of_channel=False)
        size = keys_size(listed or ())
        self._calls.admit(GET_ATTRIBUTES, size, now)
        packet = GetAttributes(self._requests.next_id(), user, listed)
        return self._calls.request(GET_ATTRIBUTES, packet, size, timeout, now)

    def _replace(
        self, operation: Operation, attributes: dict[str, str], timeout: float, now: float
    ) -> Ticket:
        size = attributes_size(attributes)
        self._calls.admit(operation, size, now)
        packet = SetAttributes(self._requests.next_id(), attributes)
        return self._calls.request(operation, packet, size, timeout, now)

    def _checked_users(self, operation: Operation, users: Iterable[str], now: float) -> list[str]:
        self._calls.begin(operation, now)
        listed = checked_list(self._calls, operation, users, "Users")
        refuse(self._calls, operation, explain_invalid_users(listed, self._calls.sizes))
        return list(dict.fromkeys(listed))

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
        self._carried, self._stands = True, False
        self._doubtful = (now + UNREACHABLE_AFTER, now + over_after) if new_epoch else None
        late, self._late = self._late, []
        if kept:
            for failed in late:
                self._not_restored(*failed)
            return
        self._restores.clear()
        self._drop_what_is_too_much()
        if self._states:
            users = list(self._states)
            packet = Subscribe(self._requests.next_id(), users, restore=True)
            self._restores.add(packet.i)
            self._calls.request(RESTORE_SUBSCRIPTIONS, packet, names_size(users), timeout, now)
        if self._attributes:
            attributes = SetAttributes(self._requests.next_id(), dict(self._attributes), restore=True)
            self._restores.add(attributes.i)
            size = attributes_size(self._attributes)
            self._calls.request(RESTORE_ATTRIBUTES, attributes, size, timeout, now)

    def _drop_what_is_too_much(self) -> None:
        """Forget what the server does not allow any more: it would refuse the rest with it. Tell the application."""
        sizes = self._calls.sizes
        excess = list(self._states)[sizes.subscriptions :]
        if excess:
            text = f"The server allows {sizes.subscriptions} subscriptions now, {len(excess)} fewer than there were."
            error = self._too_much(RESTORE_SUBSCRIPTIONS, PeerSubscriptionStatusError.OVERFLOW, text)
            self._not_restored(error, excess, [])
        wrong = explain_invalid_attributes(self._attributes, sizes=sizes)
        if wrong is not None:
            fitting = fitting_attributes(self._attributes, sizes)
            error = self._too_much(RESTORE_ATTRIBUTES, AttributeOperationError.SIZE_OVERFLOW, wrong[1])
            self._not_restored(error, [], [key for key in self._attributes if key not in fitting])

    def _too_much(self, operation: Operation, code: IntEnum, text: str) -> RtmError:
        """The error of what the server, whose limits are lower now, does not allow any more."""
        state = self._calls.current_state.name
        return error_for(code, text, operation=operation.name, state=state)

    def _restore_failed(self, packet: Request, error: RtmError) -> None:
        users = packet.users if isinstance(packet, Subscribe) else []
        keys = list(packet.attributes) if isinstance(packet, SetAttributes) else []
        if self._carried:
            self._not_restored(error, users, keys)
        else:
            # The time was over while no transport carried the session: the return shows whether it is tried again.
            self._late.append((error, users, keys))

    def _not_restored(self, error: RtmError, users: Sequence[str], keys: Sequence[str]) -> None:
        """Tell the application; what is above a limit would only be refused again, and be in the way of others."""
        missed = tuple(user for user in users if user in self._states)
        unseen = tuple(key for key in keys if key in self._attributes)
        if isinstance(error, LimitExceeded):
            self._forget(missed)
            self._attributes = {key: value for key, value in self._attributes.items() if key not in unseen}
        if missed or unseen:
            self._emit(NotRestored(error, missed, unseen))

    def detached(self) -> None:
        """No transport carries the session."""
        self._carried = False

    def connected(self, now: float) -> None:
        """The session stands: tell what has changed meanwhile."""
        self._stands = True
        held, self._held = self._held, {}
        self._take(held, now)

    def session_over(self) -> None:
        """The session has ended, and all this with it."""
        self._carried = self._stands = False
        self._late.clear()
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
        if ticket.operation in RESTORES:
            if packet is not None and packet.i in self._restores:
                self._restores.discard(packet.i)
                if ticket.error is not None:
                    self._restore_failed(packet, ticket.error)
                if not self._restores:
                    self._restored(now)
            return
        if ticket.error is None:
            if isinstance(packet, SetAttributes):
                self._attributes = packet.attributes
            elif isinstance(packet, UpdateAttributes):
                kept = {**self._attributes, **packet.changed}
                self._attributes = {key: kept[key] for key in kept if key not in packet.deleted}
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

    def _forget(self, users: Iterable[str]) -> None:
        for user in users:
            self._states.pop(user, None)
            self.withheld.pop(user, None)

    def attribute_list(self, packet: AttributeList, _: float) -> None:
        """The server has answered what attributes a user has."""
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is GET_ATTRIBUTES:
            self._requests.succeed(ticket, packet.attributes)

    def online_list(self, packet: OnlineList, _: float) -> None:
        """The server has answered which users are online."""
        ticket = self._requests.get(packet.i)
        if ticket is not None and isinstance(ticket.packet, QueryOnline):
            found = [
                PeerStatus(user, state is not PeerOnlineState.OFFLINE, state)
                for user in ticket.packet.users
                for state in (_STATES.get(packet.states.get(user, -1), PeerOnlineState.OFFLINE),)
            ]
            self._requests.succeed(ticket, tuple(found))

    def user_list(self, packet: UserList, _: float) -> None:
        """The server has answered which users are subscribed to."""
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is SUBSCRIBED_PEERS:
            self._requests.succeed(ticket, tuple(packet.users))

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
