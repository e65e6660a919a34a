"""A client core on Twisted: `python with_twisted.py URL APP_ID USER`, see `conversation.py`."""

from pathlib import Path
from time import monotonic
from typing import Any

from conversation import User, main
from twisted.internet import endpoints, error, interfaces, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmcore.client.events import CloseTransport, NeedToken, OpenTransport, SendBytes
from rtmcore.errors import TlsError


@implementer(interfaces.IHandshakeListener)
class Link(Protocol):
    """One transport, from the dial to its end."""

    def __init__(self, driver: "Driver", order: OpenTransport) -> None:
        self.driver, self.id, self.tls, self.secured = driver, order.id, order.tls, False
        self.dialing: Deferred[Link] | None = None

    def connectionMade(self) -> None:  # noqa: N802
        if not self.tls:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:  # noqa: N802
        self.secured = True
        self.driver.core.transport_opened(self.id, monotonic())
        self.driver.settle()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.driver.core.receive_data(self.id, data, monotonic())
        self.driver.settle()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        self.driver.ended(self.id, reason)


class Driver:
    """Does for one core what it asks for."""

    def __init__(self, user: User, ca_file: str | None, reactor: Any) -> None:
        self.user, self.core, self.ca_file, self.reactor = user, user.core, ca_file, reactor
        self.links: dict[int, Link] = {}
        self.timer: Any = None
        self.over: Deferred[None] = Deferred()

    def start(self) -> "Deferred[None]":
        self.user.start(monotonic())
        self.settle()
        return self.over

    def settle(self) -> None:
        """Do all that the core says, and see when it wants to be called: after each input."""
        while (output := self.core.next_output()) is not None:
            match output:
                case SendBytes(id, data):
                    if id in self.links:
                        self.links[id].transport.write(data)
                case OpenTransport():
                    self.dial(output)
                case CloseTransport(id):
                    self.close(self.links.pop(id))
                case NeedToken():
                    self.core.token(self.user.token(), monotonic())
                case _:
                    self.user.handle(output, monotonic())
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        due = self.core.next_deadline()
        if due is not None:  # the reactor's own clock can be set back, so it is not asked for the time
            self.timer = self.reactor.callLater(max(0.0, due - monotonic()), self.read_first)
        if self.user.over and not self.over.called:
            self.over.callback(None)

    def read_first(self) -> None:
        """Have the reactor look at its sockets before silence is judged: the last look may be an old one."""
        self.timer = self.reactor.callLater(0, self.tick)

    def tick(self) -> None:
        self.core.handle_timer(monotonic())
        self.settle()

    def dial(self, order: OpenTransport) -> None:
        endpoint = endpoints.HostnameEndpoint(self.reactor, order.host, order.port)
        if order.tls:
            from twisted.internet import ssl  # needs pyOpenSSL and service-identity

            roots = None
            if self.ca_file is not None:
                certificate = ssl.Certificate.loadPEM(Path(self.ca_file).read_bytes())
                roots = ssl.trustRootFromCertificates([certificate])
            endpoint = endpoints.wrapClientTLS(ssl.optionsForClientTLS(order.host, roots), endpoint)
        link = self.links[order.id] = Link(self, order)
        link.dialing = endpoints.connectProtocol(endpoint, link)
        link.dialing.addErrback(lambda reason: self.ended(order.id, reason))

    def close(self, link: Link) -> None:
        if link.transport is not None:
            link.transport.loseConnection()  # Twisted writes what it still has, and then closes
        elif link.dialing is not None:
            link.dialing.cancel()

    def ended(self, id: int, reason: Failure) -> None:
        """Tell the core of the end of a transport, unless the core has closed it."""
        link = self.links.pop(id, None)
        if link is None:
            return
        if link.transport is not None and not link.secured:  # no other attempt of a login would fare better
            self.core.transport_failed(id, TlsError(f"TLS failed: {reason.value}."), monotonic())
        elif reason.check(error.ConnectionDone):
            self.core.receive_eof(id, monotonic())
        else:
            self.core.transport_failed(id, reason.value, monotonic())
        self.settle()


def run(user: User, ca_file: str | None) -> None:
    task.react(lambda reactor: Driver(user, ca_file, reactor).start())


if __name__ == "__main__":
    main(run, __doc__)
