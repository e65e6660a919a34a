"""The media connection of a room by itself, on wires in memory: its states, its attempts, its times, its frames."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from rtmcore.client.config import ClientConfig
from rtmcore.client.events import CloseTransport, Event, OpenTransport, Purpose
from rtmcore.client.media import MEDIA_LINK_BASE, MediaLink, is_media
from rtmcore.codes import CloseCode, DtlsTransportState, IceTransportState
from rtmcore.errors import ConnectionFailed, TlsError
from rtmcore.limits import (
    LOGIN_ATTEMPT_TIMEOUT,
    ROOM_CONNECT_TIMEOUT,
    ROOM_MEDIA_BACKOFF_BASE,
    ROOM_MEDIA_INTERRUPTED_AFTER,
)
from rtmcore.wire.codec import MSGPACK
from rtmcore.wire.handshake import UpgradeRequested
from rtmcore.wire.packets import Beat, Data, DataEntry, MediaHello, MediaWelcome, Packet
from rtmcore.wire.transport import Received, ServerTransport

Ice = IceTransportState
APP = "a" * 32
START = 100.0


class End:
    """The server's end of a media transport."""

    def __init__(self, now: float) -> None:
        self.transport = ServerTransport(now)
        self.packets: list[Packet] = []


class Media:
    """A media link and the ends of its transports; whatever is asked of the driver is done at once."""

    def __init__(self, url: str = "ws://server.test:7430", jitter: Callable[[], float] = lambda: 1.0) -> None:
        self.now = START
        self.events: list[Event] = []
        self.frames: list[DataEntry] = []
        self.ends: dict[int, End] = {}
        self.closed: list[int] = []
        self.opened: list[tuple[float, OpenTransport]] = []
        self.refusal: Exception | None = None
        self.hanging = False
        self.welcoming = True
        self.beating = True
        config = ClientConfig(endpoints=url, app_id=APP, user_id="ann", kind="room", scope="demo")
        self.link = MediaLink(
            config,
            jitter,
            lambda: b"\1\2\3\4",
            lambda: b"n" * 16,
            self.events.append,
            self.frames.append,
        )

    @property
    def state(self) -> Ice:
        return self.link.link_state

    @property
    def end(self) -> End:
        return self.ends[max(self.ends)]

    def serve(self, secret: str = "m", fence: int = 1) -> "Media":
        self.link.serve(secret, fence, self.now)
        self.turn()
        return self

    def turn(self) -> None:
        for _ in range(100):
            if not self._step():
                return
        raise AssertionError("never comes to rest")

    def _step(self) -> bool:
        moved = False
        for number, data in self.link.data_to_send():
            if number in self.ends:
                moved = True
                self.ends[number].transport.receive_data(data, self.now)
        while self.events:
            moved = True
            self._act(self.events.pop(0))
        for number, end in list(self.ends.items()):
            moved = self._move(number, end) or moved
        return moved

    def _act(self, event: Event) -> None:
        if isinstance(event, OpenTransport):
            assert is_media(event.id)
            assert event.purpose is Purpose.MEDIA
            self.opened.append((self.now, event))
            if self.refusal is not None:
                self.link.transport_failed(event.id, self.refusal, self.now)
            elif not self.hanging:
                self.ends[event.id] = End(self.now)
                self.link.transport_opened(event.id, self.now)
        else:
            assert isinstance(event, CloseTransport)
            assert event.id not in self.closed
            self.closed.append(event.id)
            self.ends.pop(event.id, None)

    def _move(self, number: int, end: End) -> bool:
        moved = False
        while (event := end.transport.next_event()) is not None:
            moved = True
            if isinstance(event, UpgradeRequested):
                end.transport.accept(MSGPACK, self.now)
            elif isinstance(event, Received):
                end.packets += event.packets
                if self.welcoming and any(isinstance(packet, MediaHello) for packet in event.packets):
                    end.transport.send((MediaWelcome(beat=1000, interrupted=3000),), self.now)
        for data in end.transport.data_to_send():
            moved = True
            self.link.receive_data(number, data, self.now)
        return moved

    def lose(self) -> None:
        number = max(self.ends)
        del self.ends[number]
        self.link.receive_eof(number, self.now)
        self.turn()

    def close(self, code: int, reason: str = "") -> None:
        number = max(self.ends)
        end = self.ends.pop(number)
        end.transport.close(code, reason, self.now)
        for data in end.transport.data_to_send():
            self.link.receive_data(number, data, self.now)
        self.turn()

    def run(self, seconds: float) -> None:
        """Let time pass; the server sends a beat each second, if it does."""
        stop = self.now + seconds
        self.turn()
        while True:
            due = self.link.next_deadline()
            beat = min((end.transport.last_sent + 1.0 for end in self._welcomed()), default=stop + 1)
            following = min(beat, stop + 1 if due is None else due)
            if following > stop:
                break
            self.now = max(self.now, following)
            for end in self._welcomed():
                if end.transport.last_sent + 1.0 <= self.now:
                    end.transport.send((Beat(),), self.now)
            self.turn()
            if due is not None and due <= self.now:
                self.link.handle_timer(self.now)
                after = self.link.next_deadline()
                assert after is None or after > self.now
            self.turn()
        self.now = stop
        self.turn()

    def _welcomed(self) -> list[End]:
        if not self.beating:
            return []
        return [end for end in self.ends.values() if end.transport.last_sent > 0 and end.packets]


def up() -> Media:
    media = Media().serve()
    assert media.state is Ice.CONNECTED
    return media


# --- Coming up -------------------------------------------------------------------------------------------------


def test_it_does_nothing_before_there_is_a_session() -> None:
    media = Media()
    media.turn()
    assert media.state is Ice.NEW
    assert media.link.idle
    assert media.link.next_deadline() is None
    assert not media.link.can_write


def test_it_opens_with_the_session_s_fence_and_media_secret() -> None:
    media = Media().serve("secret", 7)
    ((_, event),) = media.opened
    assert event.id == MEDIA_LINK_BASE + 1
    assert (event.host, event.port, event.tls) == ("server.test", 7430, False)
    assert media.end.packets[0] == MediaHello(APP, "ann", "demo", 7, "secret", 1)
    assert media.state is Ice.CONNECTED
    assert media.link.can_write
    assert "secret" not in repr(media.end.packets[0])


def test_it_is_checking_until_it_is_welcomed() -> None:
    media = Media()
    media.welcoming = False
    media.serve()
    assert media.state is Ice.CHECKING
    assert not media.link.can_write


def test_the_same_session_changes_nothing() -> None:
    media = up()
    media.serve()
    media.run(60)
    assert len(media.opened) == 1


def test_a_new_session_is_served_by_a_new_transport_at_once() -> None:
    media = up()
    media.run(1)
    media.serve("other", 2)
    assert [event.id - MEDIA_LINK_BASE for _, event in media.opened] == [1, 2]
    assert media.closed == [MEDIA_LINK_BASE + 1]
    assert media.end.packets[0] == MediaHello(APP, "ann", "demo", 2, "other", 2)
    assert media.state is Ice.CONNECTED


def test_a_first_connect_that_does_not_succeed_is_checking_and_then_failed() -> None:
    media = Media()
    media.refusal = ConnectionFailed("refused")
    media.serve()
    media.run(ROOM_CONNECT_TIMEOUT - 0.01)
    assert media.state is Ice.CHECKING
    assert not media.link.failed
    media.run(0.02)
    assert media.link.failed
    assert len(media.opened) > 5
    media.refusal = None
    media.run(5)
    assert media.state is Ice.CONNECTED
    assert not media.link.failed


def test_attempts_that_hang_end_and_others_follow() -> None:
    media = Media()
    media.hanging = True
    media.serve()
    media.run(LOGIN_ATTEMPT_TIMEOUT + ROOM_MEDIA_BACKOFF_BASE + 0.01)
    assert [when for when, _ in media.opened] == [
        START,
        START + LOGIN_ATTEMPT_TIMEOUT + ROOM_MEDIA_BACKOFF_BASE,
    ]
    assert media.closed == [MEDIA_LINK_BASE + 1]
    assert "connection was not established" in str(media.link.cause)


def test_attempts_back_off_by_the_documented_figures() -> None:
    media = Media()
    media.refusal = ConnectionFailed("refused")
    media.serve()
    media.run(10)
    times = [when for when, _ in media.opened]
    waits = [round(after - before, 3) for before, after in pairwise(times)]
    assert waits[:4] == [1.0, 1.1, 1.21, 1.331]


@pytest.mark.parametrize(
    "code", [CloseCode.NO_SESSION, CloseCode.STALE_ATTEMPT, CloseCode.TOO_MANY_REQUESTS, CloseCode.SHUTDOWN]
)
def test_whatever_the_server_says_it_comes_back_while_the_session_lives(code: CloseCode) -> None:
    media = Media()
    media.welcoming = False
    media.serve()
    media.close(code)
    assert media.state is Ice.CHECKING
    assert code.name in str(media.link.cause)
    media.welcoming = True
    media.run(1.5)
    assert media.state is Ice.CONNECTED
    assert media.link.cause is None


def test_it_waits_for_as_long_as_the_server_asks() -> None:
    media = Media()
    media.welcoming = False
    media.serve()
    media.close(CloseCode.TOO_MANY_REQUESTS, '{"r":2500}')
    media.run(2.49)
    assert len(media.opened) == 1
    media.run(0.02)
    assert len(media.opened) == 2


def test_a_wait_is_cut_short_when_signaling_is_back() -> None:
    media = Media()
    media.refusal = ConnectionFailed("refused")
    media.serve()
    media.run(0.5)
    media.refusal = None
    media.link.hurry(media.now)
    media.turn()
    assert media.state is Ice.CONNECTED
    hangs = Media()
    hangs.hanging = True
    hangs.serve()
    hangs.run(2)
    hangs.hanging = False
    hangs.link.hurry(hangs.now)
    hangs.turn()
    assert hangs.state is Ice.CONNECTED
    assert hangs.closed == [MEDIA_LINK_BASE + 1]


# --- Losing it -------------------------------------------------------------------------------------------------


def test_beats_keep_it_connected() -> None:
    media = up()
    media.run(3600)
    assert media.state is Ice.CONNECTED
    assert len(media.opened) == 1
    assert len([packet for packet in media.end.packets if isinstance(packet, Beat)]) == pytest.approx(
        3600, abs=2
    )


def test_a_lost_transport_is_replaced_at_once() -> None:
    media = up()
    media.run(10)
    media.lose()
    assert media.state is Ice.CONNECTED
    assert len(media.opened) == 2


def test_a_lost_transport_is_disconnected_and_failed_three_seconds_after_the_last_byte() -> None:
    media = up()
    media.run(10.5)
    last = media.link.heard
    media.hanging = True
    media.lose()
    assert media.state is Ice.DISCONNECTED
    assert not media.link.can_write
    media.run(last + ROOM_MEDIA_INTERRUPTED_AFTER - media.now - 0.01)
    assert media.state is Ice.DISCONNECTED
    media.run(0.02)
    assert media.state is Ice.FAILED
    assert media.link.failed


def test_silence_of_three_seconds_is_failed_and_another_transport_is_opened_beside() -> None:
    media = up()
    media.beating = False
    media.hanging = True
    media.run(2.99)
    assert media.state is Ice.CONNECTED
    assert len(media.opened) == 1
    media.run(0.02)
    assert media.state is Ice.FAILED
    assert len(media.opened) == 2
    assert "3 s" in str(media.link.cause)
    assert not media.link.can_write
    # The next attempt is made by a link that has failed: it is being connected again.
    media.run(LOGIN_ATTEMPT_TIMEOUT + ROOM_MEDIA_BACKOFF_BASE)
    assert media.state is Ice.CHECKING
    media.hanging = False
    media.run(8)
    assert media.state is Ice.CONNECTED
    assert not media.link.failed


def test_a_silent_transport_that_speaks_again_is_kept() -> None:
    media = up()
    media.beating = False
    media.hanging = True
    media.run(4)
    assert media.link.failed
    old = media.ends[MEDIA_LINK_BASE + 1]
    old.transport.send((Beat(),), media.now)
    media.turn()
    assert media.state is Ice.CONNECTED
    assert media.closed == [MEDIA_LINK_BASE + 2]
    media.beating = True
    media.run(30)
    assert len(media.opened) == 2


def test_a_server_that_welcomes_and_closes_is_not_stormed() -> None:
    media = up()
    for _ in range(40):
        if media.ends:
            media.close(CloseCode.INTERNAL_ERROR)
        media.run(0.1)
    assert len(media.opened) < 10


def test_the_time_of_an_unseen_silence_is_judged_after_what_was_read() -> None:
    media = up()
    media.now += 20
    media.end.transport.send((Beat(),), media.now)
    media.turn()
    media.link.handle_timer(media.now)
    assert media.state is Ice.CONNECTED


# --- TLS -------------------------------------------------------------------------------------------------------


def test_tls_that_fails_at_first_is_final() -> None:
    media = Media("wss://server.test")
    assert media.link.tls_state is DtlsTransportState.NEW
    media.refusal = TlsError("untrusted")
    media.serve()
    assert media.link.tls_error is media.refusal
    assert media.link.tls_state is DtlsTransportState.FAILED
    media.run(60)
    assert len(media.opened) == 1
    assert media.link.idle


def test_tls_that_fails_on_the_way_back_is_one_failed_attempt() -> None:
    media = Media("wss://server.test").serve()
    assert media.link.tls_state is DtlsTransportState.CONNECTED
    media.refusal = TlsError("a captive portal")
    media.lose()
    assert media.link.tls_error is None
    assert media.state is Ice.DISCONNECTED
    media.refusal = None
    media.run(2)
    assert media.state is Ice.CONNECTED


def test_a_plain_link_has_no_tls_state() -> None:
    assert up().link.tls_state is None


# --- Frames and the end ----------------------------------------------------------------------------------------


def test_frames_go_both_ways_on_the_transport_that_was_welcomed() -> None:
    media = up()
    media.link.send((Data(1, b"up", "t"),), media.now)
    media.turn()
    assert Data(1, b"up", "t") in media.end.packets
    media.end.transport.send((DataEntry("bob", 1, b"down", "t"),), media.now)
    media.turn()
    assert media.frames == [DataEntry("bob", 1, b"down", "t")]
    assert b"down".decode() not in repr(media.frames)


def test_it_ends_with_the_room_for_good() -> None:
    media = up()
    media.link.stop()
    media.turn()
    assert media.state is Ice.CLOSED
    assert media.link.idle
    assert media.closed == [MEDIA_LINK_BASE + 1]
    assert media.link.next_deadline() is None
    media.serve("another", 9)
    assert len(media.opened) == 1


def test_what_comes_from_a_transport_that_does_not_matter_is_ignored() -> None:
    media = up()
    media.link.receive_data(MEDIA_LINK_BASE + 99, b"\0", media.now)
    media.link.receive_eof(MEDIA_LINK_BASE + 99, media.now)
    media.link.transport_opened(MEDIA_LINK_BASE + 99, media.now)
    media.link.transport_failed(MEDIA_LINK_BASE + 99, ConnectionFailed("late"), media.now)
    assert media.state is Ice.CONNECTED


def test_a_server_that_speaks_nonsense_is_a_lost_transport() -> None:
    media = up()
    media.link.receive_data(max(media.ends), b"\xff" * 32, media.now)
    media.turn()
    assert media.state is Ice.CONNECTED
    assert len(media.opened) == 2


def test_a_connection_that_is_closed_right_behind_its_upgrade_says_nothing() -> None:
    media = Media()
    media.hanging = True
    media.serve()
    (_, opened), *_ = media.opened
    media.link.transport_opened(opened.id, media.now)
    server = ServerTransport(media.now)
    for _, data in media.link.data_to_send():
        server.receive_data(data, media.now)
    while (event := server.next_event()) is not None:
        if isinstance(event, UpgradeRequested):
            server.accept(MSGPACK, media.now)
            server.close(CloseCode.SHUTDOWN, "", media.now)
    # The answer to the upgrade and the close arrive together.
    media.link.receive_data(opened.id, b"".join(server.data_to_send()), media.now)
    media.turn()
    assert media.closed == [opened.id]
    media.hanging = False
    media.run(10.0)
    assert media.state is Ice.CONNECTED
