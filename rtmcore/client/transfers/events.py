"""What an upload or a download tells its owner, besides `OpenTransport` and `CloseTransport`."""

import attrs

from rtmcore.client.events import CloseTransport, OpenTransport
from rtmcore.codes import DtlsTransportState, IceTransportState
from rtmcore.errors import RtmError


@attrs.frozen
class NeedTicket:
    """Bring a ticket: answer with `ticket` or `ticket_failed`, at any time. Never asked twice at once.

    Attributes:
        refused: One that the server did not accept, and so cannot be the answer; None where any will do.
    """

    refused: str | None = attrs.field(repr=False)


@attrs.frozen
class Progress:
    """How far a transfer has come. It never goes back.

    Attributes:
        done: Bytes that have arrived: at the server, which has acknowledged them, or here. All of them only when the
            transfer has succeeded.
        total: Bytes of the file, or of the part of it that is downloaded.
    """

    done: int
    total: int

    @property
    def fraction(self) -> float:
        """The part that has arrived, 0 to 1."""
        return self.done / self.total if self.total else 0.0


@attrs.define
class Received:
    """The next bytes of a download: write them, then call `consumed`."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class TransferLinkChanged:
    """The connection of the transfer has another part in the aggregate state now.

    Attributes:
        ice: How the link stands; CLOSED when it counts no longer.
        dtls: How its TLS stands; None where it is plain.
    """

    ice: IceTransportState
    dtls: DtlsTransportState | None


@attrs.frozen
class Ended:
    """The transfer is over. What follows is only the removal of what is left at the server.

    Attributes:
        error: Why it has failed; None where it succeeded.
    """

    error: RtmError | None


TransferEvent = (
    NeedTicket | Progress | Received | TransferLinkChanged | Ended | OpenTransport | CloseTransport
)
