"""rtmsync and its server, with rate limits off: nothing else differs from what users run."""

import os
import socket
import tempfile
import threading
from pathlib import Path

from rtmcore.wire.codec import MSGPACK
from rtmcore.wire.packets import Beat, Floor, Hello, Join, Joined, Packet, Publish, Ready
from rtmcore.wire.transport import ClientTransport, Received
from tests.benchmarks.load import clock
from tests.benchmarks.systems.ws_asyncio import masked_frame

APP = "0123456789abcdef0123456789abcdef"
CHANNEL = "bench"
TIMEOUT = 10.0


class Server:
    """The real server in a process of its own.

    Args:
        disk: True for the embedded engine, which journals; False for the one in memory.
    """

    def __init__(self, *, disk: bool = False) -> None:
        from rtmsync.server.config import ServerConfig
        from rtmsync.server.server import Server as RealServer
        from rtmsync.server.tokens import AppKeys

        self._directory = tempfile.TemporaryDirectory(prefix="bench-rtm-") if disk else None
        data_dir = Path(self._directory.name) if self._directory else None
        config = ServerConfig(apps=[AppKeys(APP)], port=0, data_dir=data_dir, rate_limits=False)
        self._server = RealServer(config)
        self._server.open()
        threading.Thread(target=self._server.run, daemon=True).start()

    def listen(self) -> list[int]:
        """Port and process id."""
        return [self._server.port, os.getpid()]

    def stop(self) -> None:
        self._server.stop()
        if self._directory is not None:
            self._directory.cleanup()


class RawPeer:
    """Speaks as little of the protocol as a subscriber and a publisher need."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._requests = 0
        self._beat = masked_frame(MSGPACK.encode([Beat()]))

    def connect(self, name: str, role: str) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = ClientTransport(
            host="127.0.0.1",
            target="/rtm/v1",
            subprotocols=[MSGPACK.subprotocol],
            nonce=os.urandom(16),
            mask_key=lambda: b"\0\0\0\0",
            now=clock(),
        )
        self._exchange(opened, transport, None)
        hello = Hello(app=APP, user=name, iid=f"{name:->16}", attempt=1, login=True)
        transport.send([hello], clock())
        self._exchange(opened, transport, Ready)
        if role != "idle":
            transport.send([Join(i=1, ch=CHANNEL)], clock())
            self._exchange(opened, transport, Joined)
        return opened

    def _exchange(
        self, opened: socket.socket, transport: ClientTransport, wanted: type[Packet] | None
    ) -> None:
        """Send what there is and read until a packet of this kind comes, or until the upgrade is done."""
        opened.sendall(b"".join(transport.data_to_send()))
        while True:
            data = opened.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            transport.receive_data(data, clock())
            while (event := transport.next_event()) is not None:
                if wanted is None:
                    return
                if isinstance(event, Received) and any(isinstance(one, wanted) for one in event.packets):
                    return

    def messages(self, bodies: list[bytes]) -> bytes:
        """All in one WebSocket message, as the client sends what has waited together."""
        packets: list[Packet] = [Floor(i=max(0, self._requests - 512))]
        for body in bodies:
            self._requests += 1
            packets.append(Publish(i=self._requests + 1, ch=CHANNEL, kind=2, body=body))
        return masked_frame(MSGPACK.encode(packets))

    def beat(self) -> bytes:
        return self._beat
