"""The client's side of transfers: places, tickets, the end of the session, the aggregate state."""

import pytest

from rtmcore.client.events import TransferInterrupted
from rtmcore.client.requests import DOWNLOAD, UPLOAD
from rtmcore.client.transfers.registry import Slot
from rtmcore.codes import (
    DownloadMediaError,
    DtlsTransportState,
    IceTransportState,
    PeerConnectionState,
    UploadMediaError,
)
from rtmcore.errors import ClientClosed, LimitExceeded, NotLoggedIn
from rtmcore.limits import MEDIA_TICKET_MARGIN, MEDIA_TICKET_SECONDS, MEDIA_TRANSFERS
from rtmcore.wire.packets import Failed, Packet, Ready, TicketRequest, TransferTicket
from tests.core.wires import Bench, HonestServer, welcome

Ice, Dtls, Peer = IceTransportState, DtlsTransportState, PeerConnectionState


class Giving(HonestServer):
    """Gives tickets, unless it refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.refuses = False

    def result(self, packet: Packet) -> list[Packet]:
        if not isinstance(packet, TicketRequest):
            return super().result(packet)
        if self.refuses:
            return [Failed(packet.i, 1, "The token does not permit it.")]
        self.given += 1
        now = 1_700_000_000_000
        expires = now + 1000 * MEDIA_TICKET_SECONDS
        return [TransferTicket(packet.i, f"ticket-{self.given}", expires, now, ["up", "down"])]


def bench(**settings: object) -> Bench:
    return Bench(Giving(), **settings).online()  # type: ignore[arg-type]


def begin(b: Bench) -> Slot:
    return b.core.transfers.begin(UPLOAD, b.now)


def ask(b: Bench, refused: str | None = None) -> object:
    ticket = b.core.transfers.ask(UPLOAD, refused, timeout=120.0, now=b.now)
    b.turn()
    assert ticket.done
    if ticket.error is not None:
        raise ticket.error
    return ticket.value


# --- Places ----------------------------------------------------------------------------------------------------


def test_nine_have_a_place_and_the_tenth_gets_the_next_that_is_free() -> None:
    b = bench()
    slots = [begin(b) for _ in range(MEDIA_TRANSFERS)]
    for operation, code in (
        (UPLOAD, UploadMediaError.CONCURRENCY_LIMIT_EXCEEDED),
        (DOWNLOAD, DownloadMediaError.CONCURRENCY_LIMIT_EXCEEDED),
    ):
        with pytest.raises(LimitExceeded) as caught:
            b.core.transfers.begin(operation, b.now)
        assert caught.value.code is code
    b.core.transfers.end(slots[3])
    b.core.transfers.end(slots[3])
    assert begin(b).number not in {slot.number for slot in slots}
    with pytest.raises(LimitExceeded):
        begin(b)


def test_the_server_says_how_many() -> None:
    b = Bench(Giving())
    b.server.on_hello = lambda connection, _: connection.send(
        welcome(limits={**welcome().limits, "transfers": 2, "file": 500}), Ready()
    )
    b.online()
    assert b.core.sizes.file == 500
    begin(b), begin(b)
    with pytest.raises(LimitExceeded, match="at most 2"):
        begin(b)


def test_without_a_session_there_is_no_place() -> None:
    b = Bench(Giving())
    with pytest.raises(NotLoggedIn) as caught:
        begin(b)
    assert caught.value.code is UploadMediaError.NOT_LOGGED_IN
    b.core.close(b.now)
    with pytest.raises(ClientClosed) as closed:
        begin(b)
    assert closed.value.code is UploadMediaError.NOT_INITIALIZED


# --- Tickets ---------------------------------------------------------------------------------------------------


def test_a_ticket_serves_several_transfers_until_shortly_before_its_end() -> None:
    b = bench()
    assert ask(b) == ask(b) == "ticket-1"
    b.run(MEDIA_TICKET_SECONDS - MEDIA_TICKET_MARGIN - 1)
    assert ask(b) == "ticket-1"
    b.run(1)
    assert ask(b) == "ticket-2"


def test_a_refused_ticket_is_not_given_again() -> None:
    b = bench()
    assert ask(b) == "ticket-1"
    assert ask(b, "ticket-1") == "ticket-2"
    assert ask(b) == "ticket-2"
    assert ask(b, "ticket-1") == "ticket-2"


def test_a_refusal_has_the_code_of_the_transfer() -> None:
    b = bench()
    assert isinstance(b.server, Giving)
    b.server.refuses = True
    ticket = b.core.transfers.ask(DOWNLOAD, None, timeout=120.0, now=b.now)
    b.turn()
    assert ticket.error is not None
    assert ticket.error.code is DownloadMediaError.FAILURE


def test_while_the_client_is_reconnecting_the_question_waits() -> None:
    b = bench()
    b.dial = lambda event: False
    b.reset()
    b.run(20)
    ticket = b.core.transfers.ask(UPLOAD, None, timeout=120.0, now=b.now)
    b.turn()
    assert not ticket.done
    b.dial = lambda event: None
    b.run(30)
    assert ticket.value == "ticket-1"


def test_a_new_session_asks_anew() -> None:
    b = bench()
    assert ask(b) == "ticket-1"
    b.core.logout(b.now)
    b.turn()
    b.login()
    b.turn()
    assert ask(b) == "ticket-2"


# --- The end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["logout", "close"])
def test_the_end_of_the_session_interrupts_all_transfers(end: str) -> None:
    b = bench()
    slots = [begin(b), begin(b)]
    getattr(b.core, end)(b.now)
    b.turn()
    assert [event.number for event in b.of(TransferInterrupted)] == [slot.number for slot in slots]
    assert len(b.core.transfers) == 0
    b.core.transfers.end(slots[0])
    b.core.transfers.link(slots[0], Ice.CONNECTED, None)


# --- The aggregate state ---------------------------------------------------------------------------------------


def test_their_connections_count_in_the_aggregate_state() -> None:
    b = bench()
    b.aggregates.clear()
    slot = begin(b)
    for ice in (Ice.CHECKING, Ice.CONNECTED, Ice.DISCONNECTED, Ice.CONNECTED):
        b.core.transfers.link(slot, ice, None)
    b.core.transfers.link(slot, Ice.DISCONNECTED, None)
    b.core.transfers.end(slot)
    b.turn()
    assert [event.state for event in b.aggregates] == [
        Peer.CONNECTING,
        Peer.CONNECTED,
        Peer.DISCONNECTED,
        Peer.CONNECTED,
        Peer.DISCONNECTED,
        Peer.CONNECTED,
    ]


def test_their_tls_counts_too() -> None:
    b = bench()
    b.aggregates.clear()
    slot = begin(b)
    b.core.transfers.link(slot, Ice.CONNECTED, Dtls.CONNECTING)
    b.core.transfers.link(slot, Ice.CONNECTED, Dtls.CONNECTED)
    b.turn()
    assert [event.state for event in b.aggregates] == [Peer.CONNECTING, Peer.CONNECTED]
