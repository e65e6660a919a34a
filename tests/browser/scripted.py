"""A server that says what a test tells it to: what a real one says rarely, or never."""

import base64
import contextlib
import json
import queue
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.browser.tabs import PATIENCE

Fields = dict[str, Any]

WELCOME: Fields = {
    "fence": 7, "secret": "s1", "resumed": False, "epoch": "e1", "node": "n", "now": 1_735_689_600_000,
    "durability": "disk", "inbox": 0, "beat": 1500, "interrupted": 60_000, "unreachable": 60_000,
    "offline": 60_000, "limits": {}, "token_policy": "keep", "token_expires": None,
}  # fmt: skip


def entry(
    id: int, prev: int, text: str, i: int, *, user: str = "ben", kind: int = 1, **more: object
) -> Fields:
    """The fields of a message that ``channel`` and ``inbox`` share."""
    body = base64.b64encode(text.encode()).decode()
    return {
        "id": id,
        "prev": prev,
        "user": user,
        "iid": f"{user}0000000000000",
        "i": i,
        "kind": kind,
        "body": body,
        **more,
    }


class Dialogue:
    """One connection, seen from the server."""

    def __init__(self, ws: ServerConnection) -> None:
        self.over = threading.Event()
        self._ws = ws
        self._heard: list[tuple[str, Fields]] = []

    def say(self, *packets: tuple[str, Fields]) -> None:
        """Send packets as one message."""
        self.say_text(json.dumps(packets))

    def say_text(self, text: str) -> None:
        """Send a message as it is."""
        self._ws.send(text)

    def hear(self, tag: str) -> Fields:
        """Wait for a packet; those before it, but for beats, are an error."""
        due = time.monotonic() + PATIENCE
        while not self._heard:
            packets = json.loads(self._ws.recv(timeout=due - time.monotonic()))
            self._heard += [(name, fields) for name, fields in packets if name not in ("beat", "floor")]
        name, fields = self._heard.pop(0)
        assert name == tag, f"{name} {fields} came, not {tag}"
        return fields

    def hears_nothing(self, seconds: float) -> None:
        """See that nothing but beats comes for a while."""
        due = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            while (left := due - time.monotonic()) > 0:
                packets = json.loads(self._ws.recv(timeout=left))
                self._heard += [(name, fields) for name, fields in packets if name not in ("beat", "floor")]
        assert self._heard == []

    def welcome(self, **changes: object) -> Fields:
        """Take the hello, and let the client in; the hello."""
        hello = self.hear("hello")
        self.say(("welcome", {**WELCOME, **changes}), ("ready", {}))
        self.say(("top", {"id": changes.get("inbox", 0), "lost": 0}))
        return hello

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection."""
        self._ws.close(code, reason)
        self.over.set()

    def closed_with(self) -> int:
        """Wait until the client closes."""
        try:
            while True:
                self._ws.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            self.over.set()
            return closed.rcvd.code if closed.rcvd else 1006


class ScriptedServer:
    """Listens on a port of the loopback interface while its block runs."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Dialogue] = queue.SimpleQueue()
        self._dialogues: list[Dialogue] = []
        self._server: Server = serve(
            self._handle, "127.0.0.1", 0, subprotocols=["rtm.v1.json"], compression=None, ping_interval=None
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _handle(self, ws: ServerConnection) -> None:
        dialogue = Dialogue(ws)
        self._dialogues.append(dialogue)
        self._calls.put(dialogue)
        dialogue.over.wait()

    def called(self) -> Dialogue:
        """Wait for the next connection."""
        return self._calls.get(timeout=PATIENCE)

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        for dialogue in self._dialogues:
            dialogue.over.set()
        self._server.shutdown()
        self._thread.join()
