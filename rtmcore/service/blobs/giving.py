"""Tickets for those who are logged in."""

from collections.abc import Callable
from typing import Any

from rtmcore.codes import UploadMediaError
from rtmcore.service.blobs.tickets import TicketOffice
from rtmcore.service.commands.names import Session
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.desk import Desk
from rtmcore.service.grants import Grant
from rtmcore.wire.packets import TicketRequest, TransferTicket


class TicketGiver:
    """Answers requests for tickets.

    Args:
        context: The node's common ground.
        desk: Refuses requests.
        office: Issues tickets; None where the server keeps no files.
    """

    def __init__(self, context: NodeContext, desk: Desk, office: TicketOffice | None) -> None:
        self._context = context
        self._desk = desk
        self._office = office
        self.begin: dict[type[Any], Callable[[Connection, Session, Any], None]] = {TicketRequest: self._give}

    def _give(self, connection: Connection, session: Session, packet: TicketRequest) -> None:
        grant = connection.grant or Grant()
        wall_ms = self._context.wall // 1000
        if self._office is None:
            self._desk.fail(connection, packet, UploadMediaError.FAILURE, "This server keeps no files.")
        elif not grant.transfers:
            text = "The token permits neither uploads nor downloads."
            self._desk.fail(connection, packet, UploadMediaError.FAILURE, text)
        elif grant.expires is not None and grant.expires <= wall_ms:
            self._desk.fail(connection, packet, UploadMediaError.FAILURE, "The token has expired.")
        else:
            text, ticket = self._office.issue(session.name.app, session.name.name, grant, wall_ms)
            connection.say(TransferTicket(packet.i, text, ticket.expires, wall_ms, list(ticket.may)))
