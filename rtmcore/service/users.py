"""Requests about users: who is online, and what users say of themselves."""

from collections.abc import Callable
from typing import Any, Final

from rtmcore.arguments import explain_invalid_attributes, explain_invalid_users
from rtmcore.codes import AttributeOperationError
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import (
    PRESENCE_SUBSCRIBE_RATE,
    PRESENCE_SUBSCRIPTIONS,
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
