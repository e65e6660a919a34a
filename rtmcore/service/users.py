"""Requests about users: who is online, and what users say of themselves."""

from collections.abc import Callable
from typing import Any, Final

from rtmcore.arguments import (
    explain_invalid_attributes,
    explain_invalid_changes,
    explain_invalid_keys,
    explain_invalid_query,
    explain_invalid_users,
)
from rtmcore.codes import AttributeOperationError
from rtmcore.figures import QUERIES, SUBSCRIPTION_LISTS, SUBSCRIPTIONS, USER_READS, USER_WRITES, WITHDRAWALS
from rtmcore.identifiers import explain_invalid_id
from rtmcore.limits import PRESENCE_SUBSCRIPTIONS
from rtmcore.service.commands.attributes import ChangeAttributes, ReadAttributes, WriteAttributes
from rtmcore.service.commands.names import Session
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    PresenceNotice,
    QueryPresence,
    SubscribePresence,
    UnsubscribePresence,
)
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.desk import OPERATIONS, Desk
from rtmcore.wire.packets import (
    GetAttributes,
    GetSubscriptions,
    PeerStates,
    QueryOnline,
    SetAttributes,
    Subscribe,
    Unsubscribe,
    UpdateAttributes,
)

_STATES_PER_PACKET: Final = PRESENCE_SUBSCRIPTIONS
"""About 36 KiB of ids of full length, well below `limits.FRAME_BYTES`."""


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
            GetSubscriptions: self._list_subscriptions,
            QueryOnline: self._query,
            SetAttributes: self._set_attributes,
            UpdateAttributes: self._update_attributes,
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

    # --- Online states ----------------------------------------------------------------

    def _subscribe(self, connection: Connection, session: Session, packet: Subscribe) -> None:
        wrong = explain_invalid_users(packet.users, self._context.sizes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._may_watch(connection, packet) and (
            self._restores(connection, packet) or self._desk.admit_rare(connection, packet, SUBSCRIPTIONS)
        ):
            self._desk.wait(connection, packet)
            users = tuple(dict.fromkeys(packet.users))
            self._context.submit(SubscribePresence(session, packet.i, connection.floor, users))

    def _unsubscribe(self, connection: Connection, session: Session, packet: Unsubscribe) -> None:
        wrong = explain_invalid_users(packet.users, self._context.sizes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._desk.admit_rare(connection, packet, WITHDRAWALS):
            self._desk.wait(connection, packet)
            users = tuple(dict.fromkeys(packet.users))
            self._context.submit(UnsubscribePresence(session, packet.i, connection.floor, users))

    def _list_subscriptions(self, connection: Connection, session: Session, packet: GetSubscriptions) -> None:
        if self._desk.admit_rare(connection, packet, SUBSCRIPTION_LISTS):
            self._desk.wait(connection, packet)
            self._context.submit(ListSubscriptions(session, packet.i, connection.floor))

    def _query(self, connection: Connection, session: Session, packet: QueryOnline) -> None:
        wrong = explain_invalid_query(packet.users, self._context.sizes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._may_watch(connection, packet) and self._desk.admit_rare(connection, packet, QUERIES):
            self._desk.wait(connection, packet)
            users = tuple(dict.fromkeys(packet.users))
            self._context.submit(QueryPresence(session, packet.i, connection.floor, users))

    def _may_watch(self, connection: Connection, packet: Subscribe | QueryOnline) -> bool:
        if connection.grant is None or connection.grant.presence:
            return True
        text = "The token does not permit to see who is online."
        self._desk.fail(connection, packet, OPERATIONS[packet.__class__].failure, text)
        return False

    # --- Attributes -------------------------------------------------------------------

    def _set_attributes(self, connection: Connection, session: Session, packet: SetAttributes) -> None:
        wrong = explain_invalid_attributes(packet.attributes, sizes=self._context.sizes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._may_write(connection, packet) and (
            self._restores(connection, packet) or self._desk.admit_rare(connection, packet, USER_WRITES)
        ):
            self._desk.wait(connection, packet)
            attributes = tuple(packet.attributes.items())
            self._context.submit(WriteAttributes(session, packet.i, connection.floor, attributes))

    def _update_attributes(self, connection: Connection, session: Session, packet: UpdateAttributes) -> None:
        wrong = explain_invalid_changes(packet.changed, packet.deleted, sizes=self._context.sizes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._may_write(connection, packet) and self._desk.admit_rare(connection, packet, USER_WRITES):
            self._desk.wait(connection, packet)
            changed, deleted = tuple(packet.changed.items()), tuple(dict.fromkeys(packet.deleted))
            self._context.submit(ChangeAttributes(session, packet.i, connection.floor, changed, deleted))

    def _may_write(self, connection: Connection, packet: SetAttributes | UpdateAttributes) -> bool:
        if connection.grant is None or connection.grant.own_attributes:
            return True
        text = "The token does not permit to set attributes."
        self._desk.fail(connection, packet, AttributeOperationError.FAILURE, text)
        return False

    def _get_attributes(self, connection: Connection, session: Session, packet: GetAttributes) -> None:
        invalid_id = explain_invalid_id(packet.user, "user id")
        wrong = None if packet.keys is None else explain_invalid_keys(packet.keys, sizes=self._context.sizes)
        if invalid_id is not None:
            self._desk.fail(connection, packet, AttributeOperationError.INVALID_ARGUMENT, invalid_id)
        elif wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._desk.admit_rare(connection, packet, USER_READS):
            self._desk.wait(connection, packet)
            keys = None if packet.keys is None else tuple(dict.fromkeys(packet.keys))
            self._context.submit(ReadAttributes(session, packet.i, connection.floor, packet.user, keys))

    def _restores(self, connection: Connection, packet: Subscribe | SetAttributes) -> bool:
        """Whether a request restores what an earlier session had: once each, and outside the rates."""
        state = connection.state
        assert state is not None
        if not packet.restore or packet.__class__ not in state.restorable:
            return False
        state.restorable.discard(packet.__class__)
        self._desk.remember(connection, packet.i)
        return True
