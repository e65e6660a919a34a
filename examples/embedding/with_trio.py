"""A client core on trio: `python with_trio.py URL APP_ID USER`, see `conversation.py`."""

import math
import ssl

import trio
from conversation import User, main

from rtmcore.client.events import CloseTransport, NeedToken, OpenTransport, SendBytes
from rtmcore.errors import TlsError

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
BROKEN = (OSError, TlsError, trio.BrokenResourceError, trio.ClosedResourceError)
LAST_WORDS = 1.0
"""Seconds in which a closed transport may still write what it has."""


class Driver:
    """Does for one core what it asks for."""

    def __init__(self, user: User, ca_file: str | None, nursery: trio.Nursery) -> None:
        self.user, self.core, self.ca_file, self.nursery = user, user.core, ca_file, nursery
        self.scopes: dict[int, trio.CancelScope] = {}
        self.unsent: dict[int, trio.MemorySendChannel[bytes]] = {}
        self.settled = trio.Event()

    async def run(self) -> None:
        self.user.start(trio.current_time())
        self.settle()
        while not self.user.over:
            self.settled = trio.Event()
            due = self.core.next_deadline()
            with trio.move_on_at(math.inf if due is None else due):
                await self.settled.wait()
            for _ in ("trio looks at the sockets", "whoever can read does so, before silence is judged"):
                await trio.lowlevel.checkpoint()
            if due is not None and trio.current_time() >= due:
                self.core.handle_timer(trio.current_time())
                self.settle()

    def settle(self) -> None:
        """Do all that the core says, and have the timer looked at again: after each input."""
        while (output := self.core.next_output()) is not None:
            match output:
                case SendBytes(id, data):
                    if id in self.unsent:
                        self.unsent[id].send_nowait(data)
                case OpenTransport(id=id):
                    self.scopes[id] = trio.CancelScope()
                    self.nursery.start_soon(self.serve, output, self.scopes[id])
                case CloseTransport(id):
                    self.close(id)
                case NeedToken():
                    self.core.token(self.user.token(), trio.current_time())
                case _:
                    self.user.handle(output, trio.current_time())
        self.settled.set()

    def close(self, id: int) -> None:
        unsent, scope = self.unsent.pop(id, None), self.scopes.pop(id)
        if unsent is None:
            scope.cancel()
        else:
            unsent.close()
            scope.deadline = trio.current_time() + LAST_WORDS

    async def serve(self, order: OpenTransport, scope: trio.CancelScope) -> None:
        """One transport, from the connect to its end."""
        with scope:
            try:
                stream = await self.dial(order)
            except BROKEN as error:
                self.fail(order.id, error)
                return
            self.unsent[order.id], unsent = trio.open_memory_channel[bytes](math.inf)
            self.core.transport_opened(order.id, trio.current_time())
            self.settle()
            async with trio.open_nursery() as both:
                both.start_soon(self.write, order.id, stream, unsent)
                await self.read(order.id, stream)

    async def dial(self, order: OpenTransport) -> Stream:
        stream = await trio.open_tcp_stream(order.host, order.port)
        if not order.tls:
            return stream
        context = ssl.create_default_context(cafile=self.ca_file)
        secured = trio.SSLStream(stream, context, server_hostname=order.host, https_compatible=True)
        try:
            await secured.do_handshake()
        except (
            trio.BrokenResourceError
        ) as error:  # no other attempt of a login would fare better: there is none
            raise TlsError(f"TLS failed: {error.__cause__ or error}.") from error
        return secured

    async def read(self, id: int, stream: Stream) -> None:
        try:
            async for data in stream:
                self.core.receive_data(id, bytes(data), trio.current_time())
                self.settle()
        except BROKEN as error:
            self.fail(id, error)
        else:
            self.core.receive_eof(id, trio.current_time())
            self.settle()

    async def write(self, id: int, stream: Stream, unsent: "trio.MemoryReceiveChannel[bytes]") -> None:
        try:
            async for data in unsent:
                await stream.send_all(data)
        except BROKEN as error:
            self.fail(id, error)
        await stream.aclose()

    def fail(self, id: int, error: Exception) -> None:
        """Tell the core that a transport is lost, unless the core has closed it."""
        if self.scopes.pop(id, None) is not None:
            if id in self.unsent:
                self.unsent.pop(id).close()
            self.core.transport_failed(id, error, trio.current_time())
            self.settle()


def run(user: User, ca_file: str | None) -> None:
    async def drive() -> None:
        async with trio.open_nursery() as nursery:
            await Driver(user, ca_file, nursery).run()

    trio.run(drive)


if __name__ == "__main__":
    main(run, __doc__)
