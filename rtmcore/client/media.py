"""The media connection of a room: the second transport, which carries data frames and can fail alone.

It has no session of its own: it opens with the media secret from the room session's welcome, outlives a resume of
signaling, is opened anew for a new session, and ends with the room. Nothing on it is repeated.
"""

from collections.abc import Callable, Sequence
from typing import Final

from rtmcore.client.attempts import Attempts
from rtmcore.client.config import ClientConfig
from rtmcore.client.events import CloseTransport, Event, OpenTransport, Purpose
from rtmcore.client.failures import attempt_timeout_error, close_error, silence_error
from rtmcore.client.links import Link
from rtmcore.codes import DtlsTransportState, IceTransportState
from rtmcore.connection.backoff import Backoff, BackoffPolicy
from rtmcore.errors import ConnectionFailed, RtmError, TlsError
from rtmcore.limits import (
    ROOM_CONNECT_TIMEOUT,
    ROOM_MEDIA_BACKOFF_BASE,
    ROOM_MEDIA_BACKOFF_CAP,
    ROOM_MEDIA_BACKOFF_FACTOR,
    ROOM_MEDIA_BEAT,
    ROOM_MEDIA_INTERRUPTED_AFTER,
)
from rtmcore.wire.packets import Data, DataEntry, MediaHello, MediaWelcome, Packet
from rtmcore.wire.transport import ClientTransport, Closed, Opened, Received

MEDIA_LINK_BASE: Final = 2**32
"""Ids of media transports are greater; those of signaling are smaller."""

_MILLISECONDS: Final = 1000
_Ice = IceTransportState
_Dtls = DtlsTransportState


class MediaLink:
    """Brings the media connection up and keeps it up, for as long as its room session lives.

    Args:
        config: The room's settings.
        random: For jitter: a number in [0, 1) at each call.
        mask_key: Four unpredictable bytes at each call.
        nonce: 16 random bytes at each call.
        emit: Takes events for the driver.
        deliver: Takes the data frames of others.

    Attributes:
        failed: Whether media was away for `limits.ROOM_MEDIA_INTERRUPTED_AFTER`, or did not come up at first within
            `limits.ROOM_CONNECT_TIMEOUT`, and is not back yet.
        tls_error: Why TLS failed at the first connect, which no other attempt would change; otherwise None.
        cause: Why the last attempt or transport failed; None while all is well.
        heard: The last byte on the transport that carries media; before there was one, when the first attempt began.
    """

    def __init__(
        self,
        config: ClientConfig,
        random: Callable[[], float],
        mask_key: Callable[[], bytes],
        nonce: Callable[[], bytes],
        emit: Callable[[Event], None],
        deliver: Callable[[DataEntry], None],
    ) -> None:
        self._config = config
        self._mask_key = mask_key
        self._nonce = nonce
        self._emit = emit
        self._deliver = deliver
        backoff = BackoffPolicy(ROOM_MEDIA_BACKOFF_BASE, ROOM_MEDIA_BACKOFF_FACTOR, ROOM_MEDIA_BACKOFF_CAP)
        self._attempts = Attempts(config.endpoints, Backoff(backoff, random))
        self._latest = MEDIA_LINK_BASE
        # The transport that carries media, and the one that is brought up.
        self._current: Link | None = None
        self._candidate: Link | None = None
        # The media secret and the fence of the room session.
        self._key: tuple[str, int] | None = None
        self._over = False
        # Whether media was ever connected in this room.
        self._was_up = False
        # Whether an attempt is under way that was begun when media had failed already.
        self._restarting = False
        self._interrupted_after = ROOM_MEDIA_INTERRUPTED_AFTER
        self._output: list[tuple[int, bytes]] = []
        self.failed = False
        self.tls_error: TlsError | None = None
        self.cause: RtmError | None = None
        self.heard = 0.0

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def link_state(self) -> IceTransportState:
        """How the media link stands, in ICE's words."""
        if self._over:
            return _Ice.CLOSED
        if self._key is None:
            return _Ice.NEW
        if self.tls_error is not None:
            return _Ice.CHECKING
        if self.failed:
            return _Ice.CHECKING if self._restarting else _Ice.FAILED
        if not self._was_up:
            return _Ice.CHECKING
        whole = self._current is not None and self._candidate is None and self._attempts.next_at is None
        return _Ice.CONNECTED if whole else _Ice.DISCONNECTED

    @property
    def tls_state(self) -> DtlsTransportState | None:
        """How the TLS of the media link stands, in DTLS's words; None where the link is plain."""
        link = self._current or self._candidate
        endpoint = self._attempts.endpoint if link is None else link.endpoint
        if not endpoint.tls:
            return None
        if self._over:
            return _Dtls.CLOSED
        if self._key is None:
            return _Dtls.NEW
        if self.tls_error is not None:
            return _Dtls.FAILED
        up = self._was_up or (link is not None and link.transport is not None)
        return _Dtls.CONNECTED if up else _Dtls.CONNECTING

    @property
    def can_write(self) -> bool:
        """Whether a frame can be sent."""
        return self._current is not None and self._current.open and not self.failed

    @property
    def idle(self) -> bool:
        """Whether no transport is open or being opened."""
        return self._current is None and self._candidate is None

    @property
    def attempts(self) -> int:
        """Number of transports that were opened."""
        return self._latest - MEDIA_LINK_BASE

    @property
    def next_attempt_at(self) -> float | None:
        """When the next transport is opened; None where none is waited for."""
        return self._attempts.next_at

    # --- Intents ------------------------------------------------------------------------------------------------

    def serve(self, secret: str, fence: int, now: float) -> None:
        """Be the media connection of a room session: of the same as before, or of a new one.

        Args:
            secret: The media secret of its welcome.
            fence: Of the session.
            now: Monotonic seconds.
        """
        key = (secret, fence)
        if self._over or self._key == key:
            return
        if self._key is None:
            self.heard = now
        self._key = key
        for link in (self._current, self._candidate):
            if link is not None:
                self._close(link)
        self._begin_anew(now)

    def hurry(self, now: float) -> None:
        """Signaling is back: do not wait any longer for the next attempt, or for one that has not got through."""
        candidate = self._candidate
        if candidate is not None and candidate.transport is None and candidate.begun < now:
            self._close(candidate)
            self._begin_anew(now)
        elif self._attempts.next_at is not None:
            self._begin_anew(now)

    def stop(self) -> None:
        """The room is over: close everything, for good."""
        self._over = True
        self._key = None
        self._attempts.next_at = None
        for link in (self._current, self._candidate):
            if link is not None:
                self._close(link)

    def send(self, frames: Sequence[Data], now: float) -> None:
        """Write frames. Look at `can_write` before."""
        link = self._current
        assert link is not None
        assert link.transport is not None
        link.transport.send(frames, now)

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """The driver has opened a transport."""
        link = self._candidate
        if link is not None and link.id == link_id and link.transport is None:
            link.transport = ClientTransport(
                host=link.endpoint.authority,
                target=link.endpoint.target,
                subprotocols=self._config.subprotocols,
                nonce=self._nonce(),
                mask_key=self._mask_key,
                now=now,
            )

    def transport_failed(self, link_id: int, error: RtmError, now: float) -> None:
        """The driver could not open a transport, or has lost it."""
        link = self._find(link_id)
        if link is None:
            return
        if isinstance(error, TlsError) and not self._was_up and not self.failed:
            self.tls_error = error
            self._attempts.next_at = None
            self._close(link, failed=True)
        else:
            self._ended(link, error, None, now, failed=True)

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes came on a transport."""
        link = self._find(link_id)
        if link is None or link.transport is None:
            return
        carries = link is self._current
        if carries:
            self.heard = now
        link.transport.receive_data(data, now)
        self._pump(link, now)
        if carries and link is self._current:
            self._spoke()

    def receive_eof(self, link_id: int, now: float) -> None:
        """The server will send nothing more on a transport."""
        link = self._find(link_id)
        if link is None:
            return
        if link.transport is None:
            error = ConnectionFailed("The media connection ended before it was established.")
            self._ended(link, error, None, now)
        else:
            link.transport.receive_eof(now)
            self._pump(link, now)

    def handle_timer(self, now: float) -> None:
        """Judge the silence, and begin what is due; what has been read must have been handed in before."""
        current, candidate = self._current, self._candidate
        if current is not None and current.transport is not None:
            current.transport.handle_timer(now)
        if candidate is not None and now >= candidate.deadline:
            self._close(candidate)
            self._attempt_failed(attempt_timeout_error(now - candidate.begun, candidate.waits_for), None, now)
        due = self._fails_at()
        if due is not None and now >= due:
            self._fail(now)
        if self._attempts.next_at is not None and now >= self._attempts.next_at:
            self._begin_attempt(now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called next."""
        current, candidate = self._current, self._candidate
        beat = None if current is None or current.transport is None else current.transport.next_deadline()
        attempt = None if candidate is None else candidate.deadline
        dues = (beat, attempt, self._fails_at(), self._attempts.next_at)
        return min((due for due in dues if due is not None), default=None)

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, with the id of their transport."""
        output, self._output = self._output, []
        for link in (self._current, self._candidate):
            if link is not None and link.transport is not None:
                output.extend((link.id, data) for data in link.transport.data_to_send())
        return output

    # --- What comes on a transport ------------------------------------------------------------------------------

    def _find(self, link_id: int) -> Link | None:
        for link in (self._current, self._candidate):
            if link is not None and link.id == link_id:
                return link
        return None

    def _pump(self, link: Link, now: float) -> None:
        transport = link.transport
        assert transport is not None
        while not link.gone and (event := transport.next_event()) is not None:
            if isinstance(event, Received):
                self._received(link, event.packets, now)
            elif isinstance(event, Opened):
                self._say_hello(link, now)
            elif isinstance(event, Closed):
                self._ended(link, close_error(event), event.retry_after, now)

    def _say_hello(self, link: Link, now: float) -> None:
        if not link.open or link.transport is None:
            return  # closed right behind the upgrade, in the same read
        assert self._key is not None
        config, (secret, fence) = self._config, self._key
        link.hello_sent = True
        number = link.id - MEDIA_LINK_BASE
        hello = MediaHello(config.app_id, config.user_id, config.scope, fence, secret, number)
        link.transport.send((hello,), now)

    def _received(self, link: Link, packets: Sequence[Packet], now: float) -> None:
        for packet in packets:
            if isinstance(packet, DataEntry):
                if link is self._current:
                    self._deliver(packet)
            elif isinstance(packet, MediaWelcome) and link is self._candidate:
                self._welcomed(link, packet, now)

    def _welcomed(self, link: Link, welcome: MediaWelcome, now: float) -> None:
        old, self._current, self._candidate = self._current, link, None
        if old is not None:
            self._close(old)
        assert link.transport is not None
        link.transport.beat_interval = welcome.beat / _MILLISECONDS or ROOM_MEDIA_BEAT
        self._interrupted_after = welcome.interrupted / _MILLISECONDS or ROOM_MEDIA_INTERRUPTED_AFTER
        self._attempts.succeeded()
        self._attempts.stands(now)
        self.heard = now
        self._was_up = True
        self._whole()

    def _spoke(self) -> None:
        """The transport that carries media was heard: a spare one is not needed any more.

        Unless its hello is out: the server may have changed over to it already, and closes the other one then.
        """
        candidate = self._candidate
        if candidate is not None and candidate.hello_sent:
            return
        if candidate is not None:
            self._close(candidate)
        if candidate is not None or self._attempts.next_at is not None:
            self._attempts.succeeded()
            self._attempts.reset()
        self._whole()

    def _whole(self) -> None:
        self.failed = self._restarting = False
        self.cause = None

    # --- Attempts -----------------------------------------------------------------------------------------------

    def _begin_anew(self, now: float) -> None:
        """Begin an attempt at once, the first of a row."""
        self._attempts.reset()
        self._schedule(now, None)

    def _schedule(self, now: float, retry_after: float | None) -> None:
        if self._attempts.schedule(now, retry_after, None):
            self._begin_attempt(now)

    def _begin_attempt(self, now: float) -> None:
        self._attempts.next_at = None
        self._latest += 1
        endpoint = self._attempts.endpoint
        self._candidate = Link(self._latest, endpoint, now, now + self._config.policy.attempt_timeout)
        self._restarting = self.failed
        self._emit(
            OpenTransport(
                self._latest, Purpose.MEDIA, endpoint.url, endpoint.host, endpoint.port, endpoint.tls
            )
        )

    def _ended(
        self, link: Link, error: RtmError, retry_after: float | None, now: float, *, failed: bool = False
    ) -> None:
        """A transport is gone, by whichever side: another replaces it, whatever the reason, while the session lives."""
        candidate = link is self._candidate
        self._close(link, failed=failed)
        if candidate:
            self._attempt_failed(error, retry_after, now)
            return
        self.cause = error
        if self._candidate is None and self._attempts.next_at is None:
            self._attempts.rotate()
            self._schedule(now, retry_after)

    def _attempt_failed(self, error: RtmError, retry_after: float | None, now: float) -> None:
        self.cause = error
        self._restarting = False
        self._attempts.rotate()
        if self._current is None or self.failed:
            self._schedule(now, retry_after)

    def _close(self, link: Link, *, failed: bool = False) -> None:
        if self._current is link:
            self._current = None
        if self._candidate is link:
            self._candidate = None
        link.gone = True
        if not failed:
            if link.transport is not None:
                self._output.extend((link.id, data) for data in link.transport.data_to_send())
            self._emit(CloseTransport(link.id))

    # --- Silence ------------------------------------------------------------------------------------------------

    def _fails_at(self) -> float | None:
        if self.failed or self._key is None or self.tls_error is not None:
            return None
        return self.heard + (self._interrupted_after if self._was_up else ROOM_CONNECT_TIMEOUT)

    def _fail(self, now: float) -> None:
        """Media is away for too long: open another transport beside the silent one, if none is under way."""
        if self._current is not None or self.cause is None:
            self.cause = silence_error(now - self.heard)
        if self._candidate is None and self._attempts.next_at is None:
            self._attempts.rotate()
            self._begin_anew(now)
        self.failed = True


def is_media(link_id: int) -> bool:
    """Whether a transport is a media connection."""
    return link_id > MEDIA_LINK_BASE
