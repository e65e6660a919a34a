"""A client core on gevent: `python with_gevent.py URL APP_ID USER`, see `conversation.py`."""

from time import monotonic

import gevent
from conversation import User, main
from gevent import socket, ssl
from gevent.event import Event
from gevent.queue import SimpleQueue

from rtmcore.client.events import CloseTransport, NeedToken, OpenTransport, SendBytes
from rtmcore.errors import TlsError


class Link:
    """One transport: a greenlet that connects and reads, and another one that writes."""

    def __init__(self, driver: "Driver", order: OpenTransport) -> None:
        self.driver, self.order = driver, order
        self.unsent: SimpleQueue[bytes | None] = SimpleQueue()
        self.socket: socket.socket | None = None
        self.greenlet = gevent.spawn(self.serve)

    def serve(self) -> None:
        driver, id = self.driver, self.order.id
        try:
            self.socket = self.dial()
            gevent.spawn(self.write, self.socket)
            driver.core.transport_opened(id, monotonic())
            driver.settle()
            while data := self.socket.recv(65_536):
                driver.core.receive_data(id, data, monotonic())
                driver.settle()
        except ssl.SSLError as error:  # no other attempt of a login would fare better, and so there is none
            driver.fail(id, TlsError(f"TLS failed: {error}."))
        except OSError as error:
            driver.fail(id, error)
        else:
            driver.core.receive_eof(id, monotonic())
            driver.settle()

    def dial(self) -> socket.socket:
        order = self.order
        connection = socket.create_connection((order.host, order.port))
        if order.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # gevent's own, which does not block the others
            if self.driver.ca_file is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(self.driver.ca_file)
            connection = context.wrap_socket(connection, server_hostname=order.host)
        return connection

    def write(self, connection: socket.socket) -> None:
        try:
            while (data := self.unsent.get()) is not None:
                connection.sendall(data)
        except OSError as error:
            self.driver.fail(self.order.id, error)
        connection.close()

    def close(self) -> None:
        if self.socket is None:
            self.greenlet.kill(block=False)
        self.unsent.put(None)


class Driver:
    """Does for one core what it asks for."""

    def __init__(self, user: User, ca_file: str | None) -> None:
        self.user, self.core, self.ca_file = user, user.core, ca_file
        self.links: dict[int, Link] = {}
        self.settled = Event()

    def run(self) -> None:
        self.user.start(monotonic())
        self.settle()
        while not self.user.over:
            self.settled.clear()
            due = self.core.next_deadline()
            self.settled.wait(None if due is None else max(0.0, due - monotonic()))
            gevent.idle()  # whoever can read does so before silence is judged
            if due is not None and monotonic() >= due:
                self.core.handle_timer(monotonic())
                self.settle()

    def settle(self) -> None:
        """Do all that the core says, and have the timer looked at again: after each input."""
        while (output := self.core.next_output()) is not None:
            match output:
                case SendBytes(id, data):
                    if id in self.links:
                        self.links[id].unsent.put(data)
                case OpenTransport(id=id):
                    self.links[id] = Link(self, output)
                case CloseTransport(id):
                    self.links.pop(id).close()
                case NeedToken():
                    self.core.token(self.user.token(), monotonic())
                case _:
                    self.user.handle(output, monotonic())
        self.settled.set()

    def fail(self, id: int, error: Exception) -> None:
        """Tell the core that a transport is lost, unless the core has closed it."""
        link = self.links.pop(id, None)
        if link is not None:
            link.close()
            self.core.transport_failed(id, error, monotonic())
            self.settle()


def run(user: User, ca_file: str | None) -> None:
    Driver(user, ca_file).run()


if __name__ == "__main__":
    main(run, __doc__)
