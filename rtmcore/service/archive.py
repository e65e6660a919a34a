"""Requests for messages that are kept: those stored for the asker himself, and the history."""

from collections.abc import Callable
from typing import Any, Final

from rtmcore.arguments import explain_invalid_history
from rtmcore.codes import QueryPeersOnlineError
from rtmcore.figures import FLUSHES, HISTORY, STORED_LISTS
from rtmcore.limits import DAY, PAGE_BYTES, STORED_PAGE_MESSAGES
from rtmcore.service.admission import SharedRates
from rtmcore.service.commands.history import ReadHistory
from rtmcore.service.commands.inboxes import DropStored, ListStored
from rtmcore.service.commands.names import Session
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.desk import Desk
from rtmcore.wire.packets import FlushStored, GetStored, QueryHistory

_MICROSECONDS: Final = 1_000_000
_LAST: Final = 2**53 - 1
"""The last position that there can be."""


class Archive:
    """Carries out requests for kept messages.

    Args:
        context: The node's common ground.
        desk: Takes requests in.
    """

    def __init__(self, context: NodeContext, desk: Desk) -> None:
        self._context = context
        self._desk = desk
        self.history_rates = SharedRates(context.rates[HISTORY])
        """How often the history is asked about, by whoever it is."""
        self.begin: dict[type[Any], Callable[[Connection, Session, Any], None]] = {
            GetStored: self._list_stored,
            FlushStored: self._drop_stored,
            QueryHistory: self._query,
        }
        """What carries out each request."""

    def _list_stored(self, connection: Connection, session: Session, packet: GetStored) -> None:
        if self._desk.admit_rare(connection, packet, STORED_LISTS):
            self._desk.wait(connection, packet)
            self._context.submit(
                ListStored(
                    session, packet.i, connection.floor, packet.after, STORED_PAGE_MESSAGES, PAGE_BYTES
                )
            )

    def _drop_stored(self, connection: Connection, session: Session, packet: FlushStored) -> None:
        if self._desk.admit_rare(connection, packet, FLUSHES):
            self._desk.wait(connection, packet)
            self._context.submit(DropStored(session, packet.i, connection.floor))

    def _query(self, connection: Connection, session: Session, packet: QueryHistory) -> None:
        wrong = explain_invalid_history(
            packet.source,
            packet.destination,
            channel=packet.channel,
            start=packet.start,
            end=packet.end,
            limit=packet.limit,
        )
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
            return
        if not _concerns(packet, connection, session):
            text = (
                "The history is open for messages that you have sent or received, and of channels that you are in. "
                "Name yourself as the source or the destination."
            )
            self._desk.fail(connection, packet, QueryPeersOnlineError.REJECTED, text)
            return
        self.history_rates.use(self._context.rates[HISTORY])
        if not self._desk.admit(connection, packet, self.history_rates.of(session.name.app), HISTORY):
            return
        oldest = self._context.wall - self._context.limits["history_days"] * DAY * _MICROSECONDS
        self._desk.wait(connection, packet)
        self._context.submit(
            ReadHistory(
                app=session.name.app,
                asker=session,
                cmid=packet.i,
                source=packet.source,
                destination=packet.destination,
                channel=packet.channel,
                start=max(min(packet.start * 1000, _LAST), oldest),
                end=min(packet.end * 1000, _LAST) if packet.end else _LAST,
                offset=packet.offset,
                limit=0 if packet.count else packet.limit,
                ascending=packet.ascending,
            )
        )


def _concerns(packet: QueryHistory, connection: Connection, session: Session) -> bool:
    """Whether the asker may know of the messages that he asks for."""
    asker = session.name.name
    if packet.source == asker:
        return True
    if packet.channel:
        return packet.destination in connection.members
    return packet.destination == asker
