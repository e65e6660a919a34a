"""Uploads and downloads in memory: steps of whoever lets time pass, in place of threads."""

import threading
from collections.abc import Callable
from typing import Any

from rtmcore.client.events import OpenTransport
from rtmcore.client.transfers.download import Download
from rtmcore.client.transfers.upload import Upload
from rtmsync.driver.link import Link
from rtmsync.driver.transfers import TransferThread
from rtmsync.testing.memory.machine import Machine
from rtmsync.testing.memory.network import MemoryLink


class MemoryTransfer(TransferThread):
    """One transfer, whose connections lead to a node in this process.

    Args:
        machine: Drives the node.
        arguments: See `TransferThread`.
    """

    def __init__(self, machine: Machine, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._machine = machine
        self._busy = threading.Lock()
        self._ident = 0
        self._moved = False
        self._left = False

    def start(self) -> None:
        """See `TransferThread`; it begins with the next turn."""

    def step(self) -> bool:
        """Do what can be done now, unless this is what lets time pass; whether anything came of it."""
        if self._left or not self._busy.acquire(blocking=False):
            return False
        self._ident = threading.get_ident()
        try:
            return self._step()
        finally:
            self._ident = 0
            self._busy.release()

    def is_current(self) -> bool:
        """See `TransferThread`."""
        return self._ident == threading.get_ident()

    def join(self, seconds: float) -> None:
        """See `TransferThread`."""
        if not self.is_current() and seconds > 0:
            self._driver.wait(lambda: self._left, self._now() + seconds, "close")

    def next_deadline(self) -> float | None:
        """When it has something to do next, or None."""
        return None if self._left or self._transfer is None else self._next_deadline(self._transfer)

    def _step(self) -> bool:
        transfer = self._transfer
        try:
            if transfer is None:
                self._begin()
                return True
            if not transfer.over and not self._abandoned:
                self._turn(transfer)
                return self._moved or transfer.over
            self._finish_off(transfer)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result hears of it
            self._fail(error)
        self._left = True
        self._leave()
        return True

    def _timeout(self, transfer: Upload | Download, busy: bool) -> int | None:
        self._moved = busy or not self._posted.empty()
        return None

    def _poll_for(self, timeout: int | None, clock: Callable[[], float]) -> None:
        link = self._link
        if isinstance(link, MemoryLink):
            for _, _, data in link.take():
                self._moved = True
                if data is not None:
                    link.feed(data, clock())

    def _make_link(self, transfer: Upload | Download, event: OpenTransport) -> Link:
        return MemoryLink(
            self._machine,
            self._driver.config.who,
            event.id,
            event.host,
            event.port,
            core=transfer,
            failed=self._failed,
            sockets=self._sockets,
            watch=self._watch,
            leftovers=lambda: None,
        )

    def _resolve(self, link: Link, now: float) -> None:
        link.handle_timer(now)
