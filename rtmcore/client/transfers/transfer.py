"""What uploads and downloads have in common: attempts, tickets, connections, deadlines, and the end."""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, Final
from urllib.parse import quote

from rtmcore.client.attempts import Attempts
from rtmcore.client.config import ClientConfig, Endpoint
from rtmcore.client.events import CloseTransport, OpenTransport, Purpose
from rtmcore.client.requests import Operation
from rtmcore.client.transfers.answers import judge
from rtmcore.client.transfers.events import (
    Ended,
    NeedTicket,
    Progress,
    TransferEvent,
    TransferLinkChanged,
)
from rtmcore.client.transfers.states import Effect, Input, Phase
from rtmcore.codes import DownloadMediaError, DtlsTransportState, IceTransportState
from rtmcore.connection.backoff import Backoff, BackoffPolicy
from rtmcore.connection.table import Table
from rtmcore.errors import ConnectionFailed, RtmError, TlsError, error_for
from rtmcore.limits import MEDIA_DAYS, MEDIA_STALL_TIMEOUT, MEDIA_WITHDRAW_TIMEOUT
from rtmcore.wire.exchange import HttpClientConnection, HttpFailed, HttpResponse
from rtmcore.wire.exchange.client import ClientEvent
from rtmcore.wire.http import Headers

_Ice, _Dtls = IceTransportState, DtlsTransportState
_CONNECTED: Final = frozenset({Phase.ANNOUNCING, Phase.LOOKING, Phase.SENDING, Phase.RECEIVING})
_OUT: Final = frozenset({Phase.WITHDRAWING, Phase.OVER})
_DENIALS_MAX: Final = 3
"""Tickets that the server may refuse in a row."""

_ANSWER: Final = 200
_REFUSALS: Final = 300


class TransferCore:
    """One transfer: `Upload` and `Download` say what it asks for.

    Inputs may come at any time, also late ones of connections that are gone; after the end they mean nothing.

    Args:
        config: The client's settings.
        operation: The call that it belongs to, for its codes.
        random: Gives a number in [0, 1) at each call, for jitter.
        idle_timeout: Seconds in which no byte of the file moves, after which it fails with TIMEOUT.

    Attributes:
        phase: How far it has come.
        done: Bytes that have arrived; never fewer than before.
        total: Bytes of the file, or of the part of it that is downloaded; 0 where they are not known yet.
        cause: Why the last attempt failed; None while all is well.
    """

    TABLE: ClassVar[Table[Phase, Input, Effect]]

    def __init__(
        self, config: ClientConfig, operation: Operation, random: Callable[[], float], idle_timeout: float
    ) -> None:
        self._operation = operation
        self._idle_timeout = idle_timeout
        self._attempts = Attempts(config.endpoints, Backoff(BackoffPolicy(), random))
        self._attempt_timeout = config.policy.attempt_timeout
        self._files = f"/rtm/v1/apps/{quote(config.app_id, safe='')}/media"
        self._events: deque[TransferEvent] = deque()
        self.phase = self.TABLE.initial
        self.done = 0
        self.total = 0
        self.cause: RtmError | None = None
        self._ticket: str | None = None
        self._refused: str | None = None
        self._denials = 0
        # The connection that is open or being opened: its id, where to, and HTTP on it once it is open.
        self._link = 0
        self._links = 0
        self._endpoint: Endpoint | None = None
        self._http: HttpClientConnection | None = None
        # When a byte of the file moved, and when any byte did on the connection.
        self._moved_at = 0.0
        self._line_at = 0.0
        self._begun_at = 0.0
        # Whether the server has ever let this transfer in.
        self._entered = False
        self._was_up = False
        self._told = (_Ice.NEW, self._tls_state())
        self._effects: dict[Effect, Callable[[float], None]] = {
            Effect.RETRY: self._retry,
            Effect.ASK_TICKET: self._ask_ticket,
            Effect.CONNECT: self._connect,
            Effect.RENEW: self._renew,
            Effect.COMPLETE: self._complete,
            Effect.FAIL: self._fail,
            Effect.WITHDRAW: self._withdraw,
            Effect.LEAVE: self._leave,
        }
        # What came with the input that is being acted on.
        self._retry_after: float | None = None
        self._error: RtmError | None = None

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self.phase is Phase.OVER

    @property
    def ended(self) -> bool:
        """Whether its result is known."""
        return self.phase in _OUT

    # --- Inputs -------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin. Once."""
        self._moved_at = now
        if self.total:
            self._events.append(Progress(0, self.total))
        self._feed(Input.START, now)

    def ticket(self, value: str, now: float) -> None:
        """The answer to `NeedTicket`."""
        if self.phase is Phase.TICKET:
            self._ticket = value
            self._feed(Input.TICKET, now)

    def ticket_failed(self, error: RtmError, now: float, *, final: bool = False) -> None:
        """There is no ticket.

        Args:
            error: Why.
            now: Monotonic seconds.
            final: Whether there will be none: the server refuses.
        """
        if self.phase is not Phase.TICKET:
            return
        self.cause = error
        if final:
            self._refuse("FAILURE", error.message, now, error)
        else:
            self._retry_after = error.retry_after
            self._feed(Input.CUT, now)

    def transport_opened(self, link_id: int, now: float) -> None:
        """The connection that was asked for is open."""
        if link_id != self._link or self._endpoint is None or self._http is not None:
            return
        self._http = HttpClientConnection(self._endpoint.authority)
        self._was_up = True
        self._line_at = now
        self._feed(self._opened(), now)

    def transport_failed(self, link_id: int, error: RtmError, now: float) -> None:
        """The connection could not be opened, or is lost. Do not report its end again."""
        if link_id != self._link:
            return
        self._link, self._http = 0, None
        if isinstance(error, TlsError) and not self._was_up and self.phase is Phase.CONNECTING:
            self._refuse("FAILURE", error.message, now, error)
        else:
            self._cut(error, now)

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes were read from the connection."""
        if link_id == self._link and self._http is not None:
            self._line_at = now
            self._http.receive_data(data)
            self._pump(now)

    def receive_eof(self, link_id: int, now: float) -> None:
        """The connection has ended."""
        if link_id != self._link or self._http is None:
            return
        self._http.receive_eof()
        self._pump(now)
        if link_id == self._link:
            self._cut(ConnectionFailed("The server has closed the connection."), now)

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Hand in what can be read first: silence is judged here."""
        if self.phase is Phase.NEW or self.over:
            return
        if self.phase is Phase.WITHDRAWING:
            if now >= self._begun_at + MEDIA_WITHDRAW_TIMEOUT:
                self._feed(Input.ENDED, now)
        elif now >= self._moved_at + self._idle_timeout:
            self._end("TIMEOUT", f"Nothing was transferred for {self._idle_timeout:g} s.", now, self.cause)
        elif self.phase is Phase.WAITING:
            if self._attempts.next_at is not None and now >= self._attempts.next_at:
                self._feed(Input.DUE, now)
        elif self._link and now >= self._line_due():
            waited = now - (self._begun_at if self._http is None else self._line_at)
            self._attempts.rotate()
            self._cut(ConnectionFailed(f"Nothing came over the connection for {waited:.1f} s."), now)

    def end(self, code: str, text: str, now: float) -> None:
        """End it, for a reason of the client: it was canceled, or its session is over. Idempotent.

        Args:
            code: The name of the documented code, for example ``"INTERRUPTED"``.
            text: Why, one sentence.
            now: Monotonic seconds.
        """
        if not self.ended:
            self._end(code, text, now)

    def fail(self, error: RtmError, now: float) -> None:
        """End it with an error of its owner: the file could not be read or written. Idempotent."""
        if not self.ended:
            self._error = error
            self._feed(Input.CANCELED if self._removable() else Input.ENDED, now)

    # --- Outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> TransferEvent | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None."""
        if self.phase is Phase.NEW or self.over:
            return None
        if self.phase is Phase.WITHDRAWING:
            return self._begun_at + MEDIA_WITHDRAW_TIMEOUT
        due = self._moved_at + self._idle_timeout
        if self.phase is Phase.WAITING and self._attempts.next_at is not None:
            due = min(due, self._attempts.next_at)
        elif self._link:
            due = min(due, self._line_due())
        return due

    def data_to_send(self, now: float) -> list[bytes]:
        """Bytes for the connection. Call it only when the connection takes more: that bounds what waits."""
        if self._http is None:
            return []
        data = self._http.data_to_send()
        if data:
            self._line_at = now
        return data

    @property
    def link(self) -> int:
        """The id of the connection; 0 where there is none."""
        return self._link

    # --- What an upload and a download do in their own ways -----------------------------------------------------

    def _opened(self) -> Input:
        """What it means that the connection is open."""
        return Input.OPENED

    def _handle(self, event: ClientEvent, now: float) -> None:
        """Act on an event of HTTP that is no failure of the connection."""
        raise NotImplementedError

    def _removable(self) -> bool:
        """Whether something has to be removed from the server when this ends early."""
        return False

    # --- For them -----------------------------------------------------------------------------------------------

    def _feed(self, given: Input, now: float) -> None:
        if self.over:
            return
        rule = self.TABLE.rule(self.phase, given)
        self.phase = rule.target
        self._effects[rule.effect](now)
        self._tell_link()

    def _headers(self, *more: tuple[str, str]) -> Headers:
        return [("Authorization", f"Bearer {self._ticket}"), *more]

    def _arrived(self, done: int, now: float) -> None:
        """So many bytes have arrived in all. All of them are told only by `_complete`."""
        if done <= self.done:
            return
        self.done = done
        self._moved_at = now
        self._attempts.reset()
        if done < self.total:
            self._events.append(Progress(done, self.total))

    def _let_in(self) -> None:
        """The server has accepted a request of this transfer."""
        self._entered = True
        self._denials = 0
        self.cause = None

    def _judge(self, response: HttpResponse, now: float) -> None:
        """Act on an answer that is no success."""
        verdict = judge(response.status, response.headers, response.body)
        given = verdict.input
        self._retry_after = verdict.retry_after
        self.cause = ConnectionFailed(verdict.text, operation=self._operation.name)
        if given is Input.DENIED:
            self._denials += 1
            if self._denials >= _DENIALS_MAX:
                given = Input.REFUSED
        elif verdict.code == "CONCURRENCY_LIMIT_EXCEEDED" and not self._entered:
            given = Input.REFUSED
        elif given is Input.GONE:
            given = self._gone()
        if given is Input.REFUSED:
            self._refuse(verdict.code, verdict.text, now)
        else:
            if given is Input.BUSY:
                self._attempts.rotate()
            self._feed(given, now)

    def _gone(self) -> Input:
        """What it means that the server does not know what was asked for."""
        return Input.REFUSED

    def _refuse(self, code: str, text: str, now: float, cause: RtmError | None = None) -> None:
        """It is over, and the server has nothing of it that matters."""
        self._error = self._made(code, text, cause)
        self._feed(Input.REFUSED, now)

    def _end(self, code: str, text: str, now: float, cause: RtmError | None = None) -> None:
        self._error = self._made(code, text, cause)
        self._feed(Input.CANCELED if self._removable() and code != "TIMEOUT" else Input.ENDED, now)

    def _cut(self, error: RtmError, now: float) -> None:
        """The connection, or what was asked for on it, came to nothing."""
        self.cause = error
        if self._http is None:
            self._attempts.rotate()
        self._feed(Input.CUT, now)

    def _made(self, code: str, text: str, cause: RtmError | None) -> RtmError:
        operation = self._operation
        known: IntEnum = operation.codes.__members__.get(code, operation.failure)
        error = error_for(known, text, operation=operation.name)
        if known is DownloadMediaError.NOT_EXIST:
            error.hint = f"Check the media id; the server keeps files for {MEDIA_DAYS} days."
        error.__cause__ = cause
        return error

    def _close(self) -> None:
        link, self._link, self._http = self._link, 0, None
        if link:
            self._events.append(CloseTransport(link))

    # --- Effects ------------------------------------------------------------------------------------------------

    def _retry(self, now: float) -> None:
        self._close()
        retry_after, self._retry_after = self._retry_after, None
        if self._attempts.schedule(now, retry_after, None):
            self._feed(Input.DUE, now)

    def _renew(self, now: float) -> None:
        self._refused, self._ticket = self._ticket, None
        self._retry(now)

    def _ask_ticket(self, now: float) -> None:
        self._attempts.next_at = None
        if self._ticket is not None:
            self._feed(Input.TICKET, now)
        else:
            self._events.append(NeedTicket(self._refused))

    def _connect(self, now: float) -> None:
        self._links += 1
        self._link = self._links
        self._endpoint = endpoint = self._attempts.endpoint
        self._http = None
        self._begun_at = now
        self._events.append(
            OpenTransport(
                self._link, Purpose.TRANSFER, endpoint.url, endpoint.host, endpoint.port, endpoint.tls
            )
        )

    def _complete(self, now: float) -> None:
        self._close()
        self.done = self.total
        self._moved_at = now
        self._events.append(Progress(self.total, self.total))
        self._events.append(Ended(None))

    def _fail(self, _: float) -> None:
        self._close()
        self._events.append(Ended(self._error))

    def _withdraw(self, now: float) -> None:
        self._fail(now)
        self._connect(now)

    def _leave(self, _: float) -> None:
        self._close()

    # --- Inside -------------------------------------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        http = self._http
        while http is not None and http is self._http and (event := http.next_event()) is not None:
            if self.phase is Phase.WITHDRAWING:
                self._feed(Input.ANSWERED, now)
            elif isinstance(event, HttpFailed):
                self._cut(ConnectionFailed(f"The server's answer cannot be read: {event.what}."), now)
            else:
                self._handle(event, now)

    def _line_due(self) -> float:
        if self._http is None:
            return self._begun_at + self._attempt_timeout
        return self._line_at + MEDIA_STALL_TIMEOUT

    def _tls_state(self) -> DtlsTransportState | None:
        endpoint = self._endpoint or self._attempts.endpoint
        if not endpoint.tls:
            return None
        if self.ended:
            return _Dtls.CLOSED
        if self.phase is Phase.NEW:
            return _Dtls.NEW
        return _Dtls.CONNECTED if self._was_up else _Dtls.CONNECTING

    def _ice_state(self) -> IceTransportState:
        if self.ended:
            return _Ice.CLOSED
        if self.phase in _CONNECTED:
            return _Ice.CONNECTED
        return _Ice.DISCONNECTED if self._was_up else _Ice.CHECKING

    def _tell_link(self) -> None:
        state = (self._ice_state(), self._tls_state())
        if state != self._told:
            self._told = state
            self._events.append(TransferLinkChanged(*state))


def succeeded(status: int) -> bool:
    """Whether a status says that all is well."""
    return _ANSWER <= status < _REFUSALS
