"""What connections bring to a node: upgrades, packets and requests, each handed to the part that it concerns."""

from collections.abc import Callable
from typing import Any

from rtmcore.codes import CloseCode
from rtmcore.limits import BUSY_RETRY
from rtmcore.service.blobs.service import BlobService
from rtmcore.service.connections import RECEIVABLE, Connection, Cue, Effect, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.data import DataFrames
from rtmcore.service.departures import Departures
from rtmcore.service.endpoint import HttpAnswer, Observe, answer_request, judge_upgrade
from rtmcore.service.logins import Logins
from rtmcore.service.media import MediaConnections
from rtmcore.service.pumps import Pumps
from rtmcore.service.requests import Requests
from rtmcore.service.web.service import WebService
from rtmcore.wire.exchange import HttpBody, HttpBodyEnd, HttpHead, HttpPiece
from rtmcore.wire.handshake import HttpRequested, UpgradeRequested
from rtmcore.wire.packets import Floor, Packet, Unknown
from rtmcore.wire.transport import Closed, Received


class Inputs:
    """Hands on what connections bring.

    Args:
        context: The node's common ground.
        observe: Makes the page of the metrics.

    The others are the parts of the node, each documented in its own module.
    """

    def __init__(
        self,
        context: NodeContext,
        observe: Observe,
        *,
        departures: Departures,
        logins: Logins,
        pumps: Pumps,
        requests: Requests,
        data: DataFrames,
        media: MediaConnections,
        web: WebService,
        blobs: BlobService,
    ) -> None:
        self._context = context
        self._observe = observe
        self._departures = departures
        self._logins = logins
        self._pumps = pumps
        self._requests = requests
        self._data = data
        self._media = media
        self._web = web
        self._blobs = blobs
        self._effects = self._bind_effects()

    def take(self, connection: Connection) -> None:
        """Take what a connection's transport has to say."""
        transport = connection.transport
        while (event := transport.next_event()) is not None:
            if isinstance(event, Received):
                self._take_packets(connection, event.packets)
            elif isinstance(event, UpgradeRequested):
                self._upgrade(connection, event)
            elif isinstance(event, HttpRequested):
                answer = answer_request(self._context, event, self._observe)
                transport.respond(answer.status, answer.headers, f"{answer.text}\n".encode())
            elif isinstance(event, HttpHead):
                if not self._blobs.take_head(connection, event):
                    self._web.take_head(connection, event)
            elif isinstance(event, HttpBody):
                if not self._blobs.take_body(connection, event.body):
                    self._web.take_body(connection, event)
            elif isinstance(event, HttpPiece):
                self._blobs.take_piece(connection, event.data)
            elif isinstance(event, HttpBodyEnd):
                self._blobs.take_end(connection)
            elif isinstance(event, Closed):
                self._blobs.finish(connection, event.unread)
        connection.pull()

    def _upgrade(self, connection: Connection, request: UpgradeRequested) -> None:
        judged = judge_upgrade(self._context.config, request, draining=self._context.draining)
        if isinstance(judged, HttpAnswer):
            connection.transport.refuse(judged.status, judged.text, judged.headers)
            return
        connection.codec = judged
        connection.advance(Cue.UPGRADE)
        connection.transport.accept(judged, self._context.now)
        connection.pull()  # before anything that frames behind the request bring about
        if connection.crowded:
            text = "too many connections without a hello"
            self._departures.close(connection, CloseCode.TOO_MANY_REQUESTS, text, BUSY_RETRY)
        elif connection.open:
            self._context.schedule(connection, self._context.now + connection.transport.beat_interval)

    def _take_packets(self, connection: Connection, packets: list[Packet]) -> None:
        phase = connection.phase
        effects = self._effects[phase]
        for packet in packets:
            if connection.phase is not phase:
                phase = connection.phase
                effects = self._effects[phase]
            effect = effects.get(packet.__class__)
            if effect is None:
                text = f"a {packet.__class__.__name__} packet has no place here"
                self._departures.close(connection, CloseCode.MALFORMED, text)
                return
            effect(connection, packet)

    def _judge_unknown(self, connection: Connection, packet: Unknown) -> None:
        """Before a login, a packet of an unknown tag may say anything but ask for something."""
        if packet.i is not None:
            self._departures.close(
                connection, CloseCode.MALFORMED, "a request has no place before the welcome"
            )

    def _bind_effects(self) -> dict[Phase, dict[type[Any], Callable[[Connection, Any], None]]]:
        bound: dict[Effect, Callable[[Connection, Any], None]] = {
            Effect.IGNORE: _ignore,
            Effect.LOG_IN: self._logins.greet,
            Effect.POSTPONE_GOODBYE: self._logins.postpone_goodbye,
            Effect.LOG_OUT: self._logins.say_goodbye,
            Effect.MOVE_FLOOR: _move_floor,
            Effect.ACKNOWLEDGE: self._pumps.acknowledge,
            Effect.READ_LOG: self._pumps.sync,
            Effect.REQUEST: self._requests.handle,
            Effect.ATTACH: self._media.greet,
            Effect.SEND_DATA: self._data.send,
            Effect.JUDGE_UNKNOWN: self._judge_unknown,
            Effect.REFUSE_UNKNOWN: self._requests.refuse_unknown,
        }
        return {
            phase: {packet: bound[effect] for packet, effect in allowed.items()}
            for phase, allowed in RECEIVABLE.items()
        }


def _ignore(connection: Connection, packet: Packet) -> None:
    """Some packets ask for nothing."""


def _move_floor(connection: Connection, packet: Floor) -> None:
    connection.floor = max(connection.floor, packet.i)
