"""The thread of one upload or download, which lives as long as that does, and has its own connections."""

import logging
import math
import select
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from rtmcore.client.core import ClientCore
from rtmcore.client.events import CloseTransport, OpenTransport
from rtmcore.client.requests import Operation, Ticket
from rtmcore.client.transfers.download import Download
from rtmcore.client.transfers.events import (
    Ended,
    NeedTicket,
    Progress,
    Received,
    TransferLinkChanged,
)
from rtmcore.client.transfers.registry import Slot
from rtmcore.client.transfers.upload import Upload
from rtmcore.errors import ClientClosed, ConnectionFailed, RtmError, error_for
from rtmcore.limits import MEDIA_IDLE_TIMEOUT, MEDIA_PROGRESS_INTERVAL
from rtmsync.driver.driver import Driver
from rtmsync.driver.futures import Waiter
from rtmsync.driver.helpers import Helpers, addresses_of, is_address, unresolved
from rtmsync.driver.link import WRITABLE, Link, Phase
from rtmsync.driver.proxies import choose_proxy
from rtmsync.driver.sockets import OpenSockets
from rtmsync.driver.waker import Waker

logger: Final = logging.getLogger("rtmsync")

_MILLISECONDS: Final = 1000
_ROUNDS: Final = 8
"""Rounds of giving and writing between two looks at what has come, and at whether it was canceled."""


class Stopped(Exception):
    """The work before the transfer was interrupted."""


class Job(Protocol):
    """What is transferred: the thread's way to the file."""

    def prepare(self, step: Callable[[], None]) -> "Upload | Download":
        """Do what takes its time before the transfer can begin, calling `step` in between, and make it.

        Raises:
            RtmError: It cannot begin.
        """

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes of the file that is uploaded."""

    def write(self, data: bytes) -> None:
        """Take bytes of the file that is downloaded."""

    def finish(self, transfer: Any) -> Any:
        """All is there: the result."""

    def discard(self) -> None:
        """It has failed: leave nothing behind."""

    def close(self) -> None:
        """Give back what is open. Called at the end in any case."""

    def trouble(self, error: Exception) -> RtmError:
        """The error of the transfer for one of reading or writing the file."""


class _TicketAnswer(Waiter):
    """Brings the answer of the client to the thread of a transfer."""

    __slots__ = ("_land",)

    def __init__(self, land: Callable[[Any, BaseException | None], None]) -> None:
        super().__init__()
        self._land = land

    def complete(self, value: Any, error: BaseException | None) -> None:
        self._land(value, error)


class TransferThread:
    """Runs one transfer.

    Args:
        driver: Of the client.
        operation: The call.
        slot: The transfer's place among those of the client.
        job: The file.
        progressed: Told of progress, on this thread.
        ended: Told of the result or of the error, on this thread.
        over: Called at the very end.
    """

    def __init__(
        self,
        driver: Driver[ClientCore],
        operation: Operation,
        slot: Slot,
        job: Job,
        progressed: Callable[[Progress], object],
        ended: Callable[[Any, BaseException | None], None],
        over: Callable[["TransferThread"], None],
    ) -> None:
        self._driver = driver
        self._now = driver.now
        self._operation = operation
        self.slot: Final = slot
        self._job = job
        self._progressed = progressed
        self._ended = ended
        self._over = over
        self._transfer: Upload | Download | None = None
        self._posted: SimpleQueue[Callable[[float], None]] = SimpleQueue()
        self._sockets = OpenSockets()
        self._helpers = Helpers(driver.config.who, self._post)
        self._poll = select.poll()
        self._watched: dict[int, tuple[Link, int]] = {}
        self._link: Link | None = None
        # Whoever rings and whoever closes take turns; a signal handler may ring while its own thread does.
        self._waker_lock = threading.RLock()
        self._waker: Waker | None = None
        self._stop: str | None = None
        self._abandoned = False
        self._told: Progress | None = None
        self._told_at = -math.inf
        self._untold: Progress | None = None
        self._last: Progress | None = None
        self._settled = False
        self._trouble: RtmError | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"rtm-{operation.name}-{driver.config.who}", daemon=True
        )

    # --- Any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin.

        Raises:
            RtmError: There is no thread to be had.
        """
        self._waker = Waker()
        self._poll.register(self._waker.fd, select.POLLIN)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._close_waker()
            raise error_for(
                self._operation.failure,
                f"No thread could be started: {error}.",
                operation=self._operation.name,
            ) from error

    def stop(self, text: str) -> None:
        """End it with INTERRUPTED; the first reason counts.

        Args:
            text: Why, one sentence.
        """
        if self._stop is None:
            self._stop = text
        self._ring()

    def abandon(self) -> None:
        """Do not even say goodbye."""
        self._abandoned = True
        self._ring()

    def is_current(self) -> bool:
        """Whether this is the thread."""
        return threading.current_thread() is self._thread

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        if not self.is_current():
            self._thread.join(max(0.0, seconds))

    def leave_behind(self) -> None:
        """In a forked child: close the copies of all descriptors, and touch nothing else."""
        self._sockets.close_copies()
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.close()

    def _post(self, function: Callable[[float], None]) -> None:
        self._posted.put(function)
        self._ring()

    def _ring(self) -> None:
        with self._waker_lock:
            if self._waker is not None:
                self._waker.ring()

    def _close_waker(self) -> None:
        with self._waker_lock:
            waker, self._waker = self._waker, None
            if waker is not None:
                waker.close()

    # --- The thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            transfer = self._begin()
            while not transfer.over and not self._abandoned:
                self._turn(transfer)
            self._finish_off(transfer)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result hears of it
            self._fail(error)
        finally:
            self._leave()

    def _begin(self) -> "Upload | Download":
        try:
            transfer = self._job.prepare(self._check)
        except RtmError:
            raise
        except (OSError, ValueError) as error:
            raise self._job.trouble(error) from error
        self._transfer = transfer
        transfer.start(self._now())
        return transfer

    def _finish_off(self, transfer: "Upload | Download") -> None:
        self._act(transfer, self._now())
        if not self._settled:
            raise Stopped

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Stopped):
            self._settle(None, self._interrupted())
        elif isinstance(error, RtmError):
            self._settle(None, error)
        else:
            logger.error("A transfer of %s has failed.", self._driver.config.who, exc_info=error)
            failure = error_for(
                self._operation.failure,
                f"The transfer has failed: {error!r}.",
                operation=self._operation.name,
            )
            failure.__cause__ = error
            self._settle(None, failure)

    def _leave(self) -> None:
        if self._link is not None:
            self._link.close()
        self._job.close()
        self._close_waker()
        self._over(self)

    def _check(self) -> None:
        if self._stop is not None or self._abandoned:
            raise Stopped

    def _turn(self, transfer: "Upload | Download") -> None:
        now = self._now()
        while True:
            try:
                self._posted.get_nowait()(now)
            except Empty:
                break
        if self._stop is not None:
            transfer.end("INTERRUPTED", self._stop, now)
        busy = self._act(transfer, now)
        if transfer.over:
            return
        self._read(self._timeout(transfer, busy), self._now)
        now = self._now()
        if self._link is not None:
            self._link.handle_timer(now)
        transfer.handle_timer(now)
        if self._link is not None:
            self._link.check(now)

    def _next_deadline(self, transfer: "Upload | Download") -> float | None:
        link = self._link
        untold = None if self._untold is None else self._told_at + MEDIA_PROGRESS_INTERVAL
        dues = (transfer.next_deadline(), untold, None if link is None else link.next_deadline())
        return min((each for each in dues if each is not None), default=None)

    def _timeout(self, transfer: "Upload | Download", busy: bool) -> int | None:
        if busy or not self._posted.empty():
            return 0
        due = self._next_deadline(transfer)
        return None if due is None else max(0, math.ceil((due - self._now()) * _MILLISECONDS))

    def _read(self, timeout: int | None, clock: Callable[[], float]) -> None:
        self._poll_for(timeout, clock)
        if self._untold is not None and clock() >= self._told_at + MEDIA_PROGRESS_INTERVAL:
            self._tell(self._untold, clock())

    def _poll_for(self, timeout: int | None, clock: Callable[[], float]) -> None:
        for fd, mask in self._poll.poll(timeout):
            watched = self._watched.get(fd)
            if watched is None:
                if self._waker is not None and fd == self._waker.fd:
                    self._waker.silence()
                continue
            link = watched[0]
            if fd == link.fd and mask & ~WRITABLE:
                data = link.read()
                if data is not None:
                    link.feed(data, clock())
            if fd != link.fd or mask & WRITABLE:
                link.ready(fd, clock())

    def _act(self, transfer: "Upload | Download", now: float) -> bool:
        """Do all that can be done without waiting; whether there may be more of it."""
        for _ in range(_ROUNDS):
            acted = False
            while (event := transfer.next_event()) is not None:
                acted = True
                self._carry_out(transfer, event, now)
            link = self._link
            if link is not None and link.phase is Phase.OPEN and not link.backlog and link.broken is None:
                acted = self._give(transfer, now) or acted
                for data in transfer.data_to_send(now):
                    acted = True
                    link.write(data)
                # Before anybody waits: what could not be written is tried on another connection.
                link.check(now)
            if not acted:
                return False
        return True

    def _give(self, transfer: "Upload | Download", now: float) -> bool:
        wanted = transfer.wanted if isinstance(transfer, Upload) else None
        if wanted is None or not isinstance(transfer, Upload):
            return False
        try:
            data = self._job.read_at(*wanted)
            if not data:
                raise OSError(0, "it has become shorter")
        except (OSError, ValueError) as error:
            transfer.fail(self._job.trouble(error), now)
            return True
        transfer.give(data, now)
        return True

    def _carry_out(self, transfer: "Upload | Download", event: object, now: float) -> None:
        if isinstance(event, Received):
            self._take(transfer, event.data)
        elif isinstance(event, Progress):
            self._note(event, now)
        elif isinstance(event, NeedTicket):
            self._ask_ticket(transfer, event.refused)
        elif isinstance(event, OpenTransport):
            self._open(transfer, event, now)
        elif isinstance(event, CloseTransport):
            link, self._link = self._link, None
            if link is not None:
                link.flush()
                link.close()
        elif isinstance(event, TransferLinkChanged):
            change = event
            self._tell_core(lambda core: core.transfers.link(self.slot, change.ice, change.dtls))
        elif isinstance(event, Ended):
            self._finish(transfer, event.error)

    def _take(self, transfer: "Upload | Download", data: bytes) -> None:
        if self._trouble is not None or self._settled:
            return
        try:
            self._job.write(data)
        except Exception as error:  # noqa: BLE001 - streams of the application raise what they like
            self._trouble = self._job.trouble(error)
            transfer.fail(self._trouble, self._now())
            return
        if isinstance(transfer, Download):
            transfer.consumed(len(data), self._now())

    # --- The end ------------------------------------------------------------------------------------------------

    def _finish(self, transfer: "Upload | Download", error: RtmError | None) -> None:
        # All may have come, and so be well for the core, before the last of it could not be written.
        error = error or self._trouble
        if error is not None:
            self._settle(None, error)
            return
        try:
            value = self._job.finish(transfer)
        except Exception as failure:  # noqa: BLE001 - see `_take`
            self._settle(None, self._job.trouble(failure))
            return
        if self._last is not None:
            self._tell(self._last, self._now())
        self._settle(value, None)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        """Tell the end, once."""
        if self._settled:
            return
        self._settled = True
        if error is not None:
            self._job.discard()
        # The place first: who waits for the result may begin the next transfer then.
        self._tell_core(lambda core: core.transfers.end(self.slot))
        self._ended(value, error)

    def _interrupted(self) -> RtmError:
        return error_for(
            self._operation.codes["INTERRUPTED"],
            self._stop or "The client was closed.",
            operation=self._operation.name,
        )

    # --- Progress -----------------------------------------------------------------------------------------------

    def _note(self, progress: Progress, now: float) -> None:
        if progress.done == progress.total:
            self._last = progress  # told with the result, when the file is in its place
        elif not progress.done or now >= self._told_at + MEDIA_PROGRESS_INTERVAL:
            self._tell(progress, now)
        else:
            self._untold = progress

    def _tell(self, progress: Progress, now: float) -> None:
        self._untold = None
        self._told_at = now
        if progress != self._told:
            self._told = progress
            self._progressed(progress)

    # --- The client ---------------------------------------------------------------------------------------------

    def _tell_core(self, action: Callable[[ClientCore], None]) -> None:
        try:
            self._driver.act(self._operation.name, lambda _: action(self._driver.core))
        except RtmError:
            pass  # the client has failed: it counts nothing any more

    def _ask_ticket(self, transfer: "Upload | Download", refused: str | None) -> None:
        def land(value: Any, error: BaseException | None) -> None:
            def act(now: float) -> None:
                if isinstance(value, str):
                    transfer.ticket(value, now)
                elif isinstance(error, ClientClosed):
                    self.stop("The client was closed.")
                elif isinstance(error, RtmError):
                    transfer.ticket_failed(error, now, final=error.code is self._operation.failure)

            self._post(act)

        def intent(now: float) -> Ticket:
            transfers = self._driver.core.transfers
            return transfers.ask(self._operation, refused, timeout=MEDIA_IDLE_TIMEOUT, now=now)

        self._driver.submit(intent, _TicketAnswer(land))

    # --- Connections --------------------------------------------------------------------------------------------

    def _open(self, transfer: "Upload | Download", event: OpenTransport, now: float) -> None:
        try:
            self._link = self._make_link(transfer, event)
        except RtmError as error:
            transfer.transport_failed(event.id, error, now)
            return
        self._resolve(self._link, now)

    def _make_link(self, transfer: "Upload | Download", event: OpenTransport) -> Link:
        driver = self._driver
        return Link(
            event.id,
            event.host,
            event.port,
            proxy=choose_proxy(driver.config.proxy, event.host, event.port, event.tls),
            tls=driver.tls_for(event.host) if event.tls else None,
            core=transfer,
            failed=self._failed,
            sockets=self._sockets,
            watch=self._watch,
            leftovers=lambda: None,
        )

    def _resolve(self, link: Link, now: float) -> None:
        host, port = link.first_hop

        def resolved(addresses: Any, failure: BaseException | None, now: float) -> None:
            if self._link is not link:
                return
            if failure is None:
                link.resolved(addresses, now)
            else:
                link.fail(unresolved(host, failure), now)

        if is_address(host):
            try:
                resolved(addresses_of(host, port, numeric=True), None, now)
            except OSError as error:
                resolved(None, error, now)
            return
        try:
            self._helpers.run((host, port), "names", lambda: addresses_of(host, port), resolved)
        except ConnectionFailed as error:
            link.fail(error, now)

    def _failed(self, id: int, error: RtmError, now: float) -> None:
        if self._link is not None and self._link.id == id:
            self._link.close()
            self._link = None
        if self._transfer is not None:
            self._transfer.transport_failed(id, error, now)

    def _watch(self, fd: int, link: Link, mask: int) -> None:
        watched = self._watched.get(fd)
        if mask == 0 and watched is not None:
            del self._watched[fd]
            self._poll.unregister(fd)
        elif mask and (watched is None or watched[1] != mask):
            self._watched[fd] = (link, mask)
            self._poll.register(fd, mask)
