"""A client core on a plain `select` loop: `python with_select.py URL APP_ID USER`, see `conversation.py`."""

import contextlib
import os
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from time import monotonic

from conversation import User, main

from rtmcore.client.events import CloseTransport, NeedToken, OpenTransport, SendBytes
from rtmcore.errors import RtmError
from rtmsync.driver.tls import TlsLayer


class Link:
    """One transport: a socket, what it has not taken yet, and TLS between it and the core where that is wanted."""

    def __init__(self, order: OpenTransport, ca_file: str | None) -> None:
        # Looking up a name may take long: a program that cannot wait has an address, or does it in a thread.
        addresses = socket.getaddrinfo(order.host, order.port, type=socket.SOCK_STREAM)
        family, kind, _, _, address = addresses[order.id % len(addresses)]
        context = ssl.create_default_context(cafile=ca_file) if order.tls else None
        self.tls = None if context is None else TlsLayer(context, server_hostname=order.host)
        self.unsent = bytearray()
        self.id, self.connecting, self.open = order.id, True, False
        self.socket = socket.socket(family, kind)
        self.socket.setblocking(False)
        self.socket.connect_ex(address)  # an error shows as soon as the socket is writable

    def fileno(self) -> int:
        return self.socket.fileno()

    def writable(self) -> None:
        if self.connecting:
            number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
            self.connecting = False
            self.decrypt(b"")  # TLS begins its handshake
        self.flush()

    def send(self, data: bytes) -> None:
        self.unsent += data if self.tls is None else self.tls.encrypt(data)
        self.flush()

    def flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.socket.send(self.unsent)]

    def decrypt(self, data: bytes) -> bytes:
        if self.tls is None:
            return data
        data = self.tls.receive(data)
        self.unsent += self.tls.data_to_send()
        return data


class Driver:
    """Does for one core what it asks for."""

    def __init__(self, user: User, ca_file: str | None) -> None:
        self.user, self.core, self.ca_file = user, user.core, ca_file
        self.links: dict[int, Link] = {}

    def run(self) -> None:
        self.user.start(monotonic())
        self.settle()
        while not self.user.over:
            due = self.core.next_deadline()
            wait = None if due is None else max(0.0, due - monotonic())
            links = list(self.links.values())
            reading = [link for link in links if not link.connecting]
            writing = [link for link in links if link.connecting or link.unsent]
            readable, writable, _ = select.select(reading, writing, [], wait)
            if not readable:  # the time is over; perhaps much more than that, if the process was stopped
                readable = select.select(reading, [], [], 0)[0]
            for link in readable:
                self.guarded(link, self.read)
            for link in writable:
                self.guarded(link, self.write)
            if due is not None and monotonic() >= due:
                self.core.handle_timer(monotonic())
            self.settle()

    def settle(self) -> None:
        """Do all that the core says."""
        while (output := self.core.next_output()) is not None:
            match output:
                case SendBytes(id, data):
                    if id in self.links:
                        self.guarded(self.links[id], partial(Link.send, data=data))
                case OpenTransport(id=id):
                    try:
                        self.links[id] = Link(output, self.ca_file)
                    except OSError as error:
                        self.core.transport_failed(id, error, monotonic())
                case CloseTransport(id):
                    self.links.pop(id).socket.close()
                case NeedToken():
                    self.core.token(self.user.token(), monotonic())
                case _:
                    self.user.handle(output, monotonic())

    def read(self, link: Link) -> None:
        data = link.socket.recv(65_536)
        plain = link.decrypt(data) if data else b""
        self.look_whether_open(link)
        if plain:
            self.core.receive_data(link.id, plain, monotonic())
        if not data:
            self.core.receive_eof(link.id, monotonic())

    def write(self, link: Link) -> None:
        link.writable()
        self.look_whether_open(link)

    def look_whether_open(self, link: Link) -> None:
        if not link.open and not link.connecting and (link.tls is None or link.tls.handshaken):
            link.open = True
            self.core.transport_opened(link.id, monotonic())

    def guarded(self, link: Link, step: Callable[[Link], None]) -> None:
        try:
            step(link)
        except (OSError, RtmError) as error:
            if self.links.pop(link.id, None) is not None:
                link.socket.close()
                self.core.transport_failed(link.id, error, monotonic())


def run(user: User, ca_file: str | None) -> None:
    Driver(user, ca_file).run()


if __name__ == "__main__":
    main(run, __doc__)
