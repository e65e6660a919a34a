"""rtmsync and its server, with rate limits off: nothing else differs from what users run."""

import os
import socket
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path

import rtmsync
from rtmcore.models import PublishResult, SendStatus
from rtmcore.wire.codec import MSGPACK
from rtmcore.wire.packets import Beat, Floor, Hello, Join, Joined, Packet, Publish, Ready
from rtmcore.wire.transport import ClientTransport, Received
from tests.benchmarks import files
from tests.benchmarks.load import Counter, clock, one_at_a_time, payload
from tests.benchmarks.systems.ws_asyncio import masked_frame

APP = "0123456789abcdef0123456789abcdef"
CHANNEL = "bench"
TIMEOUT = 30.0


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


def _client(port: int, user: str) -> rtmsync.Client:
    return rtmsync.connect(f"ws://127.0.0.1:{port}", app_id=APP, user_id=user, rate_limits=False)


class Publisher:
    def __init__(self, port: int) -> None:
        self._channel = _client(port, "publisher").channel(CHANNEL)
        self._channel.join()

    def one_at_a_time(self, size: int, seconds: float) -> dict[str, float]:
        body, send = payload(size), self._channel.send
        return one_at_a_time(lambda: send(body), seconds)

    def windowed(self, size: int, window: int, seconds: float) -> dict[str, float]:
        body, send = payload(size), self._channel.send_future
        waiting: deque[Future[PublishResult]] = deque()
        sent = 0
        start = clock()
        end = start + seconds
        while not sent or clock() < end:
            if len(waiting) == window:
                waiting.popleft().result(TIMEOUT)
            waiting.append(send(body))
            sent += 1
        while waiting:
            waiting.popleft().result(TIMEOUT)
        return {"count": sent, "start": start}


class Subscriber(Counter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._client = _client(port, "subscriber")
        # Callbacks and queues drop what is more than 1,000 events ahead of them, and say so. A machine that does
        # something else for a moment gets a subscriber there, so this one has a queue that is large enough.
        self._messages = self._client.events(rtmsync.ChannelMessage, maxsize=1 << 20)
        self._client.channel(CHANNEL).join()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for _ in self._messages:
            self.add()


class Requester:
    def __init__(self, port: int) -> None:
        self._client = _client(port, "requester")

    def one_at_a_time(self, size: int, seconds: float) -> dict[str, float]:
        body, send = payload(size), self._client.send_peer

        def request() -> None:
            if send("responder", body).status is not SendStatus.DELIVERED:
                raise ConnectionError("the peer did not acknowledge the message")

        return one_at_a_time(request, seconds)


class Responder(Counter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._client = _client(port, "responder")
        self._client.on(rtmsync.PeerMessage, self.add)


class IdleClients:
    """Many clients of one process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[rtmsync.Client] = []

    def connect(self, count: int) -> int:
        """Open more clients.

        Returns:
            Threads of the process.
        """
        for _ in range(count):
            self._clients.append(_client(self._port, f"idle{len(self._clients)}"))
        return threading.active_count()


class Carrier(files.Carrier):
    """Hashed on both sides, synced at the server, and resumable: nothing of it can be turned off."""

    def __init__(self, port: int, size: int) -> None:
        super().__init__(size)
        self._client = _client(port, "carrier")

    def put(self) -> str:
        return self._client.upload_file(self.files.there).result().media_id

    def get(self, name: str) -> None:
        self._client.download(name, self.files.back).result()


# --- Bytes for raw connections ---------------------------------------------------------------------------------


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
