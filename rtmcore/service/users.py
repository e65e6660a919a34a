"""Requests about users: who is online, and what users say of themselves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rtmcore.codes import AttributeOperationError, PeerSubscriptionStatusError
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    ATTRIBUTE_KEY_BYTES,
    ATTRIBUTE_VALUE_BYTES,
    PRESENCE_SUBSCRIBE_RATE,
    PRESENCE_SUBSCRIPTIONS,
    USER_ATTRIBUTES,
    USER_ATTRIBUTES_BYTES,
    USER_ATTRIBUTES_READ_RATE,
    USER_ATTRIBUTES_WRITE_RATE,
    RateLimit,
)
from rtmcore.service.commands import (
    PresenceNotice,
    ReadAttributes,
    Session,
    SubscribePresence,
    UnsubscribePresence,
    WriteAttributes,
)
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.desk import Desk
from rtmcore.wire.packets import GetAttributes, PeerStates, SetAttributes, Subscribe, Unsubscribe

_Packet = Subscribe | Unsubscribe | SetAttributes | GetAttributes

_STATES_PER_PACKET: Final = PRESENCE_SUBSCRIPTIONS
"""About 36 KiB of ids of full length, well below `limits.FRAME_BYTES`."""

_RATES: Final[dict[type[Any], tuple[RateLimit, str]]] = {
    Subscribe: (
        PRESENCE_SUBSCRIBE_RATE,
        f"Subscriptions may be made at most {PRESENCE_SUBSCRIBE_RATE}.",
    ),
    Unsubscribe: (
        PRESENCE_SUBSCRIBE_RATE,
        f"Subscriptions may be withdrawn at most {PRESENCE_SUBSCRIBE_RATE}.",
    ),
    SetAttributes: (
        USER_ATTRIBUTES_WRITE_RATE,
        f"Attributes may be set at most {USER_ATTRIBUTES_WRITE_RATE}.",
    ),
    GetAttributes: (
        USER_ATTRIBUTES_READ_RATE,
        f"Attributes of users may be asked for at most {USER_ATTRIBUTES_READ_RATE}.",
    ),
}


def explain_invalid_users(users: Sequence[str]) -> tuple[PeerSubscriptionStatusError, str] | None:
    """Say what is wrong with the users of a subscription; None where all is well."""
    if not users:
        return PeerSubscriptionStatusError.INVALID_ARGUMENT, "No user is named."
    if len(users) > PRESENCE_SUBSCRIPTIONS:
        text = f"{len(users)} users are named; at most {PRESENCE_SUBSCRIPTIONS} are allowed."
        return PeerSubscriptionStatusError.OVERFLOW, text
    for user in users:
        wrong = explain_invalid_id(user, "user id")
        if wrong is not None:
            return PeerSubscriptionStatusError.INVALID_ARGUMENT, wrong
    return None


def explain_invalid_attributes(attributes: Mapping[str, str]) -> tuple[AttributeOperationError, str] | None:
    """Say what is wrong with the attributes of a user; None where all is well. Neither keys nor values are quoted."""
    if len(attributes) > USER_ATTRIBUTES:
        text = f"A user has at most {USER_ATTRIBUTES} attributes, not {len(attributes)}."
        return AttributeOperationError.SIZE_OVERFLOW, text
    total = 0
    for key, value in attributes.items():
        key_size, value_size = _size(key), _size(value)
        total += key_size + value_size
        if not 0 < key_size <= ATTRIBUTE_KEY_BYTES or not key.isprintable():
            text = f"A key of an attribute has 1 to {ATTRIBUTE_KEY_BYTES} bytes of visible characters."
            return AttributeOperationError.INVALID_ARGUMENT, text
        if not value:
            return AttributeOperationError.INVALID_ARGUMENT, "The value of an attribute is not empty."
        if value_size > ATTRIBUTE_VALUE_BYTES:
            text = f"The value of an attribute has at most {ATTRIBUTE_VALUE_BYTES} bytes, not {value_size}."
            return AttributeOperationError.SIZE_OVERFLOW, text
    if total > USER_ATTRIBUTES_BYTES:
        text = f"A user's attributes have at most {USER_ATTRIBUTES_BYTES} bytes together, not {total}."
        return AttributeOperationError.SIZE_OVERFLOW, text
    return None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Users:
    """Carries out requests about users, and passes their online states on.

    Args:
        context: The node's common ground.
        desk: Takes requests in.
    """

    def __init__(self, context: NodeContext, desk: Desk) -> None:
        self._context = context
        self._desk = desk
        self.begin: dict[type[Any], Callable[[Connection, Session, Any], None]] = {
            Subscribe: self._subscribe,
            Unsubscribe: self._unsubscribe,
            SetAttributes: self._set_attributes,
            GetAttributes: self._get_attributes,
        }
        """What carries out each request."""

    def announce(self, notice: PresenceNotice) -> None:
        """Take online states that a session has subscribed to."""
        connection = self._context.connection_of(notice.session)
        if connection is None:
            return
        states = notice.states
        for start in range(0, len(states), _STATES_PER_PACKET):
            told = states[start : start + _STATES_PER_PACKET]
            connection.say(PeerStates({user: int(state) for user, state in told}))

    def _subscribe(self, connection: Connection, session: Session, packet: Subscribe) -> None:
        wrong = explain_invalid_users(packet.users)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._restores(connection, packet) or self._admit(connection, packet):
            self._desk.wait(connection, packet)
            users = tuple(dict.fromkeys(packet.users))
            self._context.submit(SubscribePresence(session, packet.i, connection.floor, users))

    def _unsubscribe(self, connection: Connection, session: Session, packet: Unsubscribe) -> None:
        wrong = explain_invalid_users(packet.users)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._admit(connection, packet):
            self._desk.wait(connection, packet)
            users = tuple(dict.fromkeys(packet.users))
            self._context.submit(UnsubscribePresence(session, packet.i, connection.floor, users))

    def _set_attributes(self, connection: Connection, session: Session, packet: SetAttributes) -> None:
        wrong = explain_invalid_attributes(packet.attributes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._restores(connection, packet) or self._admit(connection, packet):
            self._desk.wait(connection, packet)
            attributes = tuple(packet.attributes.items())
            self._context.submit(WriteAttributes(session, packet.i, connection.floor, attributes))

    def _get_attributes(self, connection: Connection, session: Session, packet: GetAttributes) -> None:
        wrong = explain_invalid_id(packet.user, "user id")
        if wrong is not None:
            self._desk.fail(connection, packet, AttributeOperationError.INVALID_ARGUMENT, wrong)
        elif self._admit(connection, packet):
            self._desk.wait(connection, packet)
            self._context.submit(ReadAttributes(session, packet.i, connection.floor, packet.user))

    def _restores(self, connection: Connection, packet: Subscribe | SetAttributes) -> bool:
        """Whether a request restores what an earlier session had: once each, and outside the rates."""
        state = connection.state
        assert state is not None
        if not packet.restore or packet.__class__ not in state.restorable:
            return False
        state.restorable.discard(packet.__class__)
        self._desk.remember(connection, packet.i)
        return True

    def _admit(self, connection: Connection, packet: _Packet) -> bool:
        assert connection.state is not None
        limit, text = _RATES[packet.__class__]
        window = connection.state.rates.of(packet.__class__, limit)
        return self._desk.admit(connection, packet, window, text)
