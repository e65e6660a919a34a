"""A client core on asyncio: `python with_asyncio.py URL APP_ID USER`, see `conversation.py`."""

import asyncio
import ssl

from conversation import User, main

from rtmcore.client.events import CloseTransport, NeedToken, OpenTransport, SendBytes
from rtmcore.errors import TlsError


class Link(asyncio.Protocol):
    """One transport: it passes on what comes."""

    def __init__(self, driver: "Driver", id: int) -> None:
        self.driver = driver
        self.id = id

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.driver.opened(self.id, transport)

    def data_received(self, data: bytes) -> None:
        self.driver.received(self.id, data)

    def connection_lost(self, error: Exception | None) -> None:
        self.driver.ended(self.id, error)


class Driver:
    """Does for one core what it asks for."""

    def __init__(self, user: User, ca_file: str | None) -> None:
        self.user = user
        self.core = user.core
        self.ca_file = ca_file
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.dials: dict[int, asyncio.Task[None]] = {}
        self.transports: dict[int, asyncio.WriteTransport] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.over = self.loop.create_future()

    async def run(self) -> None:
        self.user.start(self.now())
        self.settle()
        await self.over

    def settle(self) -> None:
        """Do all that the core says, and see when it wants to be called: after each input."""
        while (output := self.core.next_output()) is not None:
            match output:
                case SendBytes(id, data):
                    if id in self.transports:
                        self.transports[id].write(data)
                case OpenTransport(id=id):
                    self.dials[id] = self.loop.create_task(self.dial(output))
                case CloseTransport(id):
                    self.close(id)
                case NeedToken():
                    self.core.token(self.user.token(), self.now())
                case _:
                    self.user.handle(output, self.now())
        if self.timer is not None:
            self.timer.cancel()
        due = self.core.next_deadline()
        self.timer = None if due is None else self.loop.call_at(due, self.read_first)
        if self.user.over and not self.over.done():
            self.over.set_result(None)

    def read_first(self) -> None:
        """Have the loop look at its sockets before silence is judged: the last look may be an old one."""
        self.timer = self.loop.call_later(0, self.tick)

    def tick(self) -> None:
        self.core.handle_timer(self.now())
        self.settle()

    async def dial(self, order: OpenTransport) -> None:
        try:
            context = ssl.create_default_context(cafile=self.ca_file) if order.tls else None
            await self.loop.create_connection(
                lambda: Link(self, order.id), order.host, order.port, ssl=context, happy_eyeballs_delay=0.25
            )
        except ssl.SSLError as error:  # no other attempt of a login would fare better, and so there is none
            self.core.transport_failed(order.id, TlsError(f"TLS failed: {error}."), self.now())
        except OSError as error:
            self.core.transport_failed(order.id, error, self.now())
        finally:
            self.dials.pop(order.id, None)
        self.settle()

    def opened(self, id: int, transport: asyncio.WriteTransport) -> None:
        self.transports[id] = transport
        self.core.transport_opened(id, self.now())
        self.settle()

    def received(self, id: int, data: bytes) -> None:
        self.core.receive_data(id, data, self.now())
        self.settle()

    def ended(self, id: int, error: Exception | None) -> None:
        if self.transports.pop(id, None) is None:
            return  # the core has closed it
        if error is None:
            self.core.receive_eof(id, self.now())
        else:
            self.core.transport_failed(id, error, self.now())
        self.settle()

    def close(self, id: int) -> None:
        if id in self.dials:
            self.dials[id].cancel()
        transport = self.transports.pop(id, None)
        if transport is not None:
            transport.close()  # asyncio writes what it still has, and then closes


def run(user: User, ca_file: str | None) -> None:
    async def drive() -> None:
        await Driver(user, ca_file).run()

    asyncio.run(drive())


if __name__ == "__main__":
    main(run, __doc__)
