"""Requests about channels for which nobody has to be a member: their attributes, and how many are in them."""

from collections.abc import Callable
from typing import Any

from rtmcore.arguments import (
    explain_invalid_attributes,
    explain_invalid_changes,
    explain_invalid_channels,
    explain_invalid_keys,
)
from rtmcore.codes import AttributeOperationError
from rtmcore.figures import CHANNEL_READS, CHANNEL_WRITES, COUNTS
from rtmcore.identifiers import explain_invalid_id
from rtmcore.service.commands.attributes import ChangeChannelAttributes, ReadChannelAttributes
from rtmcore.service.commands.channels import CountMembers
from rtmcore.service.commands.names import Session
from rtmcore.service.connections import Connection
from rtmcore.service.context import NodeContext
from rtmcore.service.desk import Desk
from rtmcore.wire.packets import (
    GetChannelAttributes,
    GetMemberCounts,
    SetChannelAttributes,
    UpdateChannelAttributes,
)

_AttributesPacket = SetChannelAttributes | UpdateChannelAttributes | GetChannelAttributes


class Channels:
    """Carries out requests about channels.

    Args:
        context: The node's common ground.
        desk: Takes requests in.
    """

    def __init__(self, context: NodeContext, desk: Desk) -> None:
        self._context = context
        self._desk = desk
        self.begin: dict[type[Any], Callable[[Connection, Session, Any], None]] = {
            SetChannelAttributes: self._set,
            UpdateChannelAttributes: self._update,
            GetChannelAttributes: self._get,
            GetMemberCounts: self._count,
        }
        """What carries out each request."""

    def _set(self, connection: Connection, session: Session, packet: SetChannelAttributes) -> None:
        wrong = explain_invalid_attributes(packet.attributes, of_channel=True, sizes=self._context.sizes)
        if self._takes(connection, packet, wrong, CHANNEL_WRITES):
            changed = tuple(packet.attributes.items())
            self._context.submit(
                ChangeChannelAttributes(
                    session,
                    packet.i,
                    connection.floor,
                    packet.ch,
                    changed,
                    (),
                    replace=True,
                    notify=packet.notify,
                )
            )

    def _update(self, connection: Connection, session: Session, packet: UpdateChannelAttributes) -> None:
        wrong = explain_invalid_changes(
            packet.changed, packet.deleted, of_channel=True, sizes=self._context.sizes
        )
        if self._takes(connection, packet, wrong, CHANNEL_WRITES):
            changed, deleted = tuple(packet.changed.items()), tuple(dict.fromkeys(packet.deleted))
            self._context.submit(
                ChangeChannelAttributes(
                    session,
                    packet.i,
                    connection.floor,
                    packet.ch,
                    changed,
                    deleted,
                    replace=False,
                    notify=packet.notify,
                )
            )

    def _get(self, connection: Connection, session: Session, packet: GetChannelAttributes) -> None:
        keys, sizes = packet.keys, self._context.sizes
        wrong = None if keys is None else explain_invalid_keys(keys, of_channel=True, sizes=sizes)
        if self._takes(connection, packet, wrong, CHANNEL_READS):
            wanted = None if keys is None else tuple(dict.fromkeys(keys))
            self._context.submit(
                ReadChannelAttributes(session, packet.i, connection.floor, packet.ch, wanted)
            )

    def _takes(
        self,
        connection: Connection,
        packet: _AttributesPacket,
        wrong: tuple[AttributeOperationError, str] | None,
        rate: str,
    ) -> bool:
        """Whether a request for attributes is one that the engine is asked to carry out; it waits for it then."""
        invalid_id = explain_invalid_id(packet.ch, "channel id")
        if invalid_id is not None:
            self._desk.fail(connection, packet, AttributeOperationError.INVALID_ARGUMENT, invalid_id)
        elif wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif connection.grant is not None and not connection.grant.may_use_attributes_of(packet.ch):
            text = "The token does not permit attributes of this channel."
            self._desk.fail(connection, packet, AttributeOperationError.FAILURE, text)
        elif self._desk.admit_rare(connection, packet, rate):
            self._desk.wait(connection, packet)
            return True
        return False

    def _count(self, connection: Connection, session: Session, packet: GetMemberCounts) -> None:
        wrong = explain_invalid_channels(packet.channels, self._context.sizes)
        if wrong is not None:
            self._desk.fail(connection, packet, *wrong)
        elif self._desk.admit_rare(connection, packet, COUNTS):
            self._desk.wait(connection, packet)
            channels = tuple(dict.fromkeys(packet.channels))
            self._context.submit(CountMembers(session, packet.i, connection.floor, channels))
