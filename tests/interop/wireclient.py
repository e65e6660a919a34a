"""A client of `rtm.v1`, written from docs/protocol alone on the `websockets` package.

It imports nothing of this project; a test holds that. It is single-threaded: whatever it waits for, it reads the
connection meanwhile. It keeps positions, asks about gaps, acknowledges, repeats and beats, as the specification says.
"""

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

TEXT, RAW = 1, 2
PATH = "/rtm/v1"
WAIT = 30.0
"""Seconds after which a test has waited long enough."""

Fields = dict[str, Any]


class Closed(Exception):
    """The server closed the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}")
        self.code = code
        self.reason = reason


class JsonEncoding:
    """`rtm.v1.json`: text messages, bytes as base64."""

    subprotocol = "rtm.v1.json"

    def encode(self, packets: list[tuple[str, Fields]]) -> str:
        return json.dumps([[tag, self._plain(fields)] for tag, fields in packets])

    def decode(self, message: str | bytes) -> list[tuple[str, Fields]]:
        assert isinstance(message, str)
        packets = json.loads(message)
        for _, fields in packets:
            if "body" in fields:
                fields["body"] = base64.b64decode(fields["body"], validate=True)
        return [(tag, fields) for tag, fields in packets]

    def _plain(self, fields: Fields) -> Fields:
        if "body" not in fields:
            return fields
        return {**fields, "body": base64.b64encode(fields["body"]).decode("ascii")}


class MsgpackEncoding:
    """`rtm.v1.msgpack`: binary messages."""

    subprotocol = "rtm.v1.msgpack"

    def encode(self, packets: list[tuple[str, Fields]]) -> bytes:
        return msgspec.msgpack.encode([[tag, fields] for tag, fields in packets])

    def decode(self, message: str | bytes) -> list[tuple[str, Fields]]:
        assert isinstance(message, bytes)
        return [(tag, fields) for tag, fields in msgspec.msgpack.decode(message)]


ENCODINGS = (MsgpackEncoding(), JsonEncoding())


class Log:
    """The reader's side of a log: its position, and what is held back at a gap."""

    def __init__(self, position: int, *, read_to_us: bool = False) -> None:
        self.position = position
        self.held: list[Fields] = []
        self.read_to_us = read_to_us
        """The server reads the log from our position, and will end with a `top`."""
        self.replayed = read_to_us
        """It does so by itself, after a hello, and not for a question."""

    def read_again(self) -> None:
        self.held.clear()
        self.read_to_us = self.replayed = True


class WireClient:
    """One instance: it logs in, returns after cuts, and hands messages over.

    Attributes:
        packets: Every packet received on all connections, as (tag, fields), in order.
        messages: What was handed over: fields of `channel` and `inbox` packets.
        gaps: (channel or None, lost) of every `top` that told of a loss.
        members: By channel, the names known.
        welcome: Fields of the last welcome.
    """

    def __init__(self, url: str, app: str, user: str, encoding: Any, token: str | None = None) -> None:
        self.url, self.app, self.user, self.token = url, app, user, token
        self.encoding = encoding
        self.iid = secrets.token_urlsafe(12)
        self.attempt = 0
        self.packets: list[tuple[str, Fields]] = []
        self.messages: list[Fields] = []
        self.gaps: list[tuple[str | None, int]] = []
        self.members: dict[str, set[str]] = {}
        self.versions: dict[str, int] = {}
        self.welcome: Fields = {}
        self.acknowledge = True
        self._ws: ClientConnection | None = None
        self._mark = 0
        self._next_request = 1
        self._unanswered: dict[int, tuple[str, Fields]] = {}
        self._answers: dict[int, tuple[str, Fields]] = {}
        self._logs: dict[str | None, Log] = {None: Log(0, read_to_us=True)}
        self._origins: set[tuple[str, str, int]] = set()
        self._to_acknowledge: int | None = None
        self._last_sent = 0.0

    # --- The connection ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the WebSocket, without a hello."""
        self._mark = len(self.packets)
        subprotocols = [self.encoding.subprotocol]
        opening = connect(self.url + PATH, subprotocols=subprotocols, open_timeout=WAIT, ping_interval=None)
        self._ws = opening.__enter__()
        assert self._ws.subprotocol == self.encoding.subprotocol

    def login(self, **changes: Any) -> None:
        """Open a connection and log in; `changes` replace fields of the hello."""
        self.open()
        self.hello(**changes)
        self.wait_for(lambda: self._seen("ready") or self._seen("refused"))
        if self._seen("ready"):
            self._logs[None].position = max(self._logs[None].position, self.welcome["inbox"])

    def hello(self, **changes: Any) -> None:
        """Send the hello of a new attempt, a login's unless `changes` say otherwise."""
        self.attempt += 1
        usual = {
            "app": self.app,
            "user": self.user,
            "token": self.token,
            "iid": self.iid,
            "attempt": self.attempt,
            "login": True,
        }
        self.send("hello", **{**usual, **changes})

    def come_back(self) -> None:
        """Open a new connection, and return to the session with all positions."""
        self.open()
        channels = [
            {"ch": channel, "id": log.position, "version": self.versions[channel]}
            for channel, log in self._logs.items()
            if channel is not None
        ]
        self.hello(
            login=False,
            fence=self.welcome["fence"],
            secret=self.welcome["secret"],
            inbox=self._logs[None].position,
            channels=channels,
            floor=self.floor,
        )
        for log in self._logs.values():
            log.read_again()
        self.wait_for(lambda: self._seen("welcome"))
        for tag, fields in list(self._unanswered.values()):
            self.send(tag, **fields)
        self.wait_for(lambda: self._seen("ready"))

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._ws is not None:
            with contextlib.suppress(OSError):
                self._ws.socket.shutdown(socket.SHUT_RDWR)
            self._ws.close()
            self._ws = None

    def logout(self) -> None:
        """Say goodbye, and wait for the server's close."""
        self.send("bye", fence=self.welcome["fence"])
        assert self.closed_with() == 4504

    def closed_with(self) -> int:
        """Wait until the server closes, and return the code."""
        try:
            self.wait_for(lambda: False)
        except Closed as closed:
            return closed.code
        raise AssertionError("unreachable")

    @property
    def floor(self) -> int:
        """The oldest request that may still be repeated."""
        return min(self._unanswered, default=self._next_request)

    def _seen(self, tag: str) -> bool:
        """Whether the current connection brought such a packet."""
        return any(one == tag for one, _ in self.packets[self._mark :])

    # --- Requests ---------------------------------------------------------------------------------------------------

    def request(self, tag: str, **fields: Any) -> int:
        """Send a request, and return its id."""
        number = self._next_request
        self._next_request += 1
        self._unanswered[number] = (tag, {"i": number, **fields})
        self.send(tag, i=number, **fields)
        return number

    def answer(self, number: int) -> tuple[str, Fields]:
        """Wait for the answer to a request."""
        self.wait_for(lambda: number in self._answers)
        return self._answers.pop(number)

    def ask(self, tag: str, **fields: Any) -> tuple[str, Fields]:
        """Send a request, and wait for its answer."""
        return self.answer(self.request(tag, **fields))

    def send(self, tag: str, **fields: Any) -> None:
        """Send one packet in a message of its own."""
        self.send_message(self.encoding.encode([(tag, fields)]))

    def send_message(self, message: str | bytes) -> None:
        """Send a WebSocket message as it is."""
        assert self._ws is not None
        with contextlib.suppress(ConnectionClosed):
            self._ws.send(message)
        self._last_sent = time.monotonic()

    # --- Reading ----------------------------------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], object], seconds: float = WAIT) -> None:
        """Read until something holds. Raises `Closed` when the server closes first."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s; received: {self.packets[-8:]}"
            self.read(0.05)

    def read(self, seconds: float) -> None:
        """Read one message, if one comes in time, and do all that it asks for."""
        assert self._ws is not None
        self._beat()
        try:
            message = self._ws.recv(timeout=seconds)
        except TimeoutError:
            return
        except ConnectionClosed as closed:
            frame = closed.rcvd
            raise Closed(frame.code if frame else 1006, frame.reason if frame else "") from None
        for tag, fields in self.encoding.decode(message):
            self.packets.append((tag, fields))
            self._receive(tag, fields)
        if self._to_acknowledge is not None and self.acknowledge:
            self.send("ack", id=self._to_acknowledge)
            self._to_acknowledge = None

    def _beat(self) -> None:
        if self.welcome and time.monotonic() - self._last_sent > self.welcome["beat"] / 1000:
            self.send("beat")

    def _receive(self, tag: str, fields: Fields) -> None:
        if tag == "welcome":
            self.welcome = fields
        elif tag in ("channel", "inbox"):
            self._take(self._logs.get(fields.get("ch")), fields)
        elif tag == "top":
            self._take_top(fields)
        elif tag == "roster":
            self.versions[fields["ch"]] = fields["version"]
            self.members[fields["ch"]] = set(fields["users"] or ())
        elif tag == "member":
            self._take_member(fields)
        elif "i" in fields:
            self._take_answer(tag, fields)

    def _take(self, log: Log | None, entry: Fields) -> None:
        if log is None:
            return
        if entry["id"] <= log.position:
            if "ch" not in entry:
                self._to_acknowledge = log.position
        elif entry["prev"] == log.position or (log.replayed and "ch" not in entry):
            log.position = entry["id"]
            self._hand_over(entry)
        else:
            log.held.append(entry)
            self._ask_about_gap(log, entry.get("ch"))

    def _ask_about_gap(self, log: Log, channel: str | None) -> None:
        mine = (tag == "publish" and fields["ch"] == channel for tag, fields in self._unanswered.values())
        if log.held and not log.read_to_us and not any(mine):
            log.read_to_us = True
            self.send("sync", id=log.position, ch=channel)

    def _take_top(self, top: Fields) -> None:
        channel = top.get("ch")
        log = self._logs.get(channel)
        if log is None:
            return
        log.read_to_us = log.replayed = False
        if top["lost"]:
            self.gaps.append((channel, top["lost"]))
        held, log.held = sorted(log.held, key=lambda entry: int(entry["id"])), []
        for entry in held:
            if log.position < entry["id"] <= top["id"]:
                log.position = entry["id"]
                self._hand_over(entry)
        log.position = max(log.position, top["id"])
        for entry in held:
            self._take(log, entry)

    def _hand_over(self, entry: Fields) -> None:
        origin = (entry["user"], entry["iid"], entry["i"])
        if "ch" not in entry:
            self._to_acknowledge = entry["id"]
            if origin in self._origins:
                return
            self._origins.add(origin)
        self.messages.append(entry)

    def _take_answer(self, tag: str, fields: Fields) -> None:
        asked = self._unanswered.pop(fields["i"], None)
        self._answers[fields["i"]] = (tag, fields)
        channel = asked[1].get("ch") if asked else None
        if tag == "joined":
            self._logs[channel] = Log(fields["id"])
        elif tag == "done" and channel in self._logs:
            del self._logs[channel]
        elif channel in self._logs:
            log = self._logs[channel]
            if tag == "published" and fields["prev"] == log.position:
                log.position = fields["id"]
            held, log.held = log.held, []
            for entry in held:
                self._take(log, entry)

    def _take_member(self, change: Fields) -> None:
        channel = change["ch"]
        if change["version"] <= self.versions.get(channel, 0):
            return
        self.versions[channel] = change["version"]
        names = self.members.setdefault(channel, set())
        (names.add if change["joined"] else names.discard)(change["user"])
