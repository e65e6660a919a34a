"""paho-mqtt at QoS 1 and mosquitto."""

import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from tests.benchmarks.load import Counter, clock, one_at_a_time, payload
from tests.benchmarks.peers import mosquitto
from tests.benchmarks.workers import stop_process
from tests.system.processes import free_port

TOPIC = "bench"
REQUESTS, REPLIES = "bench/requests", "bench/replies"

# The defaults allow 20 messages in flight to a subscriber and drop what does not fit a queue of 1,000; both
# would bound what is measured. Nagle's algorithm would delay the acknowledgements.
SETTINGS = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_type error
log_dest stderr
"""


class Server:
    """A mosquitto of its own."""

    def __init__(self) -> None:
        found = mosquitto()
        assert found is not None
        self._port = free_port()
        self._directory = tempfile.TemporaryDirectory(prefix="bench-mosquitto-")
        settings = Path(self._directory.name, "mosquitto.conf")
        settings.write_text(SETTINGS.format(port=self._port), encoding="utf-8")
        self._process = subprocess.Popen([found, "-c", settings])

    def listen(self) -> list[int]:
        """Port and process id, once it accepts connections."""
        deadline = clock() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return [self._port, self._process.pid]
            except OSError:
                if clock() > deadline or self._process.poll() is not None:
                    raise
            time.sleep(0.02)

    def stop(self) -> None:
        stop_process(self._process)
        self._directory.cleanup()


class _Client:
    def __init__(self, port: int, *topics: str) -> None:
        ready = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = lambda *_: ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        if not ready.wait(10):
            raise TimeoutError("mosquitto did not let the client in")
        opened = self.client.socket()
        assert opened is not None
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for topic in topics:
            subscribed = threading.Event()
            self.client.on_subscribe = lambda *_, event=subscribed: event.set()  # type: ignore[misc]
            self.client.subscribe(topic, qos=1)
            if not subscribed.wait(10):
                raise TimeoutError("mosquitto did not answer the subscription")


class Publisher(_Client):
    def one_at_a_time(self, size: int, seconds: float) -> dict[str, float]:
        body = payload(size)
        return one_at_a_time(lambda: self.client.publish(TOPIC, body, qos=1).wait_for_publish(10), seconds)

    def windowed(self, size: int, window: int, seconds: float) -> dict[str, float]:
        body, publish = payload(size), self.client.publish
        slots = threading.Semaphore(window)
        self.client.on_publish = lambda *_: slots.release()
        start = clock()
        end = start + seconds
        sent = 0
        while not sent or clock() < end:
            slots.acquire()
            publish(TOPIC, body, qos=1)
            sent += 1
        for _ in range(window):
            if not slots.acquire(timeout=10):
                raise TimeoutError("a PUBACK is missing")
        self.client.on_publish = None
        return {"count": sent, "start": start}


class Subscriber(_Client, Counter):
    def __init__(self, port: int) -> None:
        Counter.__init__(self)
        _Client.__init__(self, port, TOPIC)
        self.client.on_message = self.add


class Requester(_Client):
    def __init__(self, port: int) -> None:
        super().__init__(port, REPLIES)

    def one_at_a_time(self, size: int, seconds: float) -> dict[str, float]:
        body, publish = payload(size), self.client.publish
        replied = threading.Lock()  # the quickest way to wait for another thread
        replied.acquire()
        self.client.on_message = lambda *_: replied.release()

        def request() -> None:
            publish(REQUESTS, body, qos=1)
            if not replied.acquire(timeout=10):
                raise TimeoutError("a reply is missing")

        return one_at_a_time(request, seconds)


class Responder(_Client):
    def __init__(self, port: int) -> None:
        super().__init__(port, REQUESTS)
        self.client.on_message = self._reply

    def _reply(self, client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        client.publish(REPLIES, message.payload[:1], qos=1)


class IdleClients:
    """Many clients of one process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[_Client] = []

    def connect(self, count: int) -> int:
        """Open more clients.

        Returns:
            Threads of the process.
        """
        self._clients += [_Client(self._port) for _ in range(count)]
        return threading.active_count()


# --- Bytes for raw connections ---------------------------------------------------------------------------------


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def _packet(first: int, rest: bytes) -> bytes:
    length, size = b"", len(rest)
    while True:
        size, digit = size >> 7, size & 0x7F
        length += bytes((digit | 0x80 if size else digit,))
        if not size:
            return bytes((first,)) + length + rest


class RawPeer:
    """Speaks as little MQTT as a subscriber and a publisher need: subscriptions at QoS 0, publishing at QoS 1."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._identifier = 0

    def connect(self, name: str, role: str) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), 10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.sendall(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text(name)))
        _read_exactly(opened, 4)
        if role == "subscriber":
            opened.sendall(_packet(0x82, b"\x00\x01" + _text(TOPIC) + b"\x00"))
            _read_exactly(opened, 5)
        return opened

    def messages(self, bodies: list[bytes]) -> bytes:
        made = []
        for body in bodies:
            self._identifier = self._identifier % 65535 + 1
            made.append(_packet(0x32, _text(TOPIC) + self._identifier.to_bytes(2, "big") + body))
        return b"".join(made)

    def beat(self) -> bytes:
        return b""


def _read_exactly(opened: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = opened.recv(count - len(data))
        if not piece:
            raise ConnectionError("mosquitto closed the connection")
        data += piece
    return data
