"""HTTP/1.1 heads on `h11`, with the bounds that h11 leaves to its users.

Shared by everything that speaks HTTP here: both sides of the WebSocket upgrade, plain requests to the server,
and CONNECT to a proxy. The size and the number of header fields are bounded however the bytes are cut into
reads, and what lies behind the last blank line is kept. Errors never quote what the peer sent, since a broken
line may hold somebody's password.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import h11

from rtmcore.errors import LocalProtocolError
from rtmcore.limits import HANDSHAKE_BYTES, HANDSHAKE_HEADERS, REFUSAL_BODY_BYTES, REFUSAL_EXCERPT

Headers = list[tuple[str, str]]
"""Header fields in order: names in lower case, values as Latin-1 text."""

_TLS_FIRST_BYTES: Final = (0x15, 0x16)  # an alert, a handshake record
_QUOTED_INPUT: Final = re.compile(r":? (bytearray\(|b['\"]).*", re.DOTALL)
# h11 words this in three ways, depending on how the bytes were cut into reads.
_FIRST_LINE: Final = re.compile(
    r"no (?:request|response) line received|illegal (?:request|status) line.*", re.DOTALL
)
_MARKUP: Final = re.compile(r"<[^>]*>")
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e\xa1-\U0010ffff]+")
_DELAY_SECONDS: Final = re.compile(r"[0-9]{1,6}")
_SECRET_CHARACTERS: Final = 6  # shorter parts of a header value are too common to be blacked out


class NotHttp(Exception):
    """What the peer sent is not an HTTP message that this side accepts.

    Args:
        what: The fault, in words that fit behind a colon; nothing of the peer's input is in it.
        status: The HTTP status that a server would answer with.
    """

    def __init__(self, what: str, status: int = 400) -> None:
        super().__init__(what)
        self.status = status


def header_values(headers: Headers, name: str) -> list[str]:
    """Every value of one header field, in order.

    Args:
        headers: As an event has them.
        name: In lower case.
    """
    return [value for field, value in headers if field == name]


def header_list(headers: Headers, name: str) -> list[str]:
    """The elements of a header field that is a comma-separated list, whether in one line or in several.

    Args:
        headers: As an event has them.
        name: In lower case.
    """
    elements = ",".join(header_values(headers, name)).split(",")
    return [stripped for stripped in (element.strip(" \t") for element in elements) if stripped]


def names_token(headers: Headers, name: str, token: str) -> bool:
    """Whether a list-valued header field has a token, in whatever case.

    Args:
        headers: As an event has them.
        name: In lower case.
        token: In lower case.
    """
    return any(element.lower() == token for element in header_list(headers, name))


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header fields as h11 has them, as text. No byte is refused: Latin-1 knows them all."""
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Header fields as h11 wants them.

    Raises:
        LocalProtocolError: A name or value has characters outside Latin-1.
    """
    try:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    except UnicodeEncodeError:
        raise LocalProtocolError("An HTTP header field can only have characters of Latin-1.") from None


class BoundedHttp:
    """One h11 connection for one request and its answer, held to `limits.HANDSHAKE_BYTES`.

    h11 looks at its own limit only when it needs more data, so one large read would pass. Therefore it is never
    given more than the bound, and what lies beyond is kept here.

    Args:
        client: True for the side that sends the request.

    Attributes:
        started: True when a byte has arrived.
        answers_head: True when the peer's request was HEAD, whose answer has no body, whatever is wrong with it.
    """

    __slots__ = ("_budget", "_connection", "_illegal_line", "_rest", "answers_head", "started")

    def __init__(self, *, client: bool) -> None:
        self._connection = h11.Connection(
            h11.CLIENT if client else h11.SERVER, max_incomplete_event_size=HANDSHAKE_BYTES
        )
        self._illegal_line = "illegal status line" if client else "illegal request line"
        self._budget = HANDSHAKE_BYTES
        self._rest = b""
        self.started = False
        self.answers_head = False

    @property
    def switched(self) -> bool:
        """Whether the response ended HTTP on this connection."""
        return self._connection.their_state is h11.SWITCHED_PROTOCOL

    def feed(self, data: bytes) -> None:
        """Take what was read from the peer.

        Raises:
            NotHttp: The very first byte tells that this is something else.
        """
        part = data[: self._budget]
        self._budget -= len(part)
        self._rest = data[len(part) :]
        if not part:
            return
        if not self.started:
            self.started = True
            if part[0] in _TLS_FIRST_BYTES:
                raise NotHttp("these bytes look like TLS, and no TLS was agreed on here")
            if not part[:1].isalpha():
                raise NotHttp("these bytes are not HTTP")
        self._connection.receive_data(part)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event of h11.

        Raises:
            NotHttp: The input breaks the rules of HTTP or a limit.
        """
        try:
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            what = _FIRST_LINE.sub(self._illegal_line, _QUOTED_INPUT.sub("", str(error)))
            raise NotHttp(what, error.error_status_hint) from None
        if isinstance(event, h11.Request):
            self.answers_head = event.method == b"HEAD"
        if event is h11.NEED_DATA and self._rest:
            raise NotHttp(f"the head is longer than {HANDSHAKE_BYTES} bytes", 431)
        if isinstance(event, h11.Request | h11.Response | h11.InformationalResponse) and (
            len(event.headers) > HANDSHAKE_HEADERS
        ):
            raise NotHttp(f"the head has more than {HANDSHAKE_HEADERS} header fields", 431)
        return event

    def send(self, *events: h11.Event) -> bytes:
        """The bytes of these events.

        Raises:
            LocalProtocolError: They do not fit the state, or are no valid HTTP.
        """
        with local_errors():
            return b"".join(self._connection.send(event) or b"" for event in events)

    def trailing(self) -> bytes:
        """What lies behind the last message that HTTP has to do with."""
        return self._connection.trailing_data[0] + self._rest


@contextmanager
def local_errors() -> Iterator[None]:
    """Around everything that h11 checks before it is written: its objection becomes ours, without quoting.

    Raises:
        LocalProtocolError: h11 objects.
    """
    try:
        yield
    except h11.LocalProtocolError as error:
        what = _QUOTED_INPUT.sub("", str(error))
        raise LocalProtocolError(f"Cannot write this HTTP head: {what}.") from None


@attrs.frozen
class Refusal:
    """A response other than the one hoped for, with the beginning of its body.

    Attributes:
        status: The HTTP status.
        reason: Its reason phrase; may be empty.
        headers: All header fields.
        secrets: Header values that were sent, blacked out where the response repeats them.
        body: At least the first `limits.REFUSAL_BODY_BYTES` once the refusal is complete, or all of it.
    """

    status: int
    reason: str
    headers: Headers = attrs.field(repr=False)
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    body: bytearray = attrs.field(factory=bytearray, repr=False)

    def retry_after(self) -> float | None:
        """Seconds from the Retry-After header; None without one, or where it names a date."""
        values = header_values(self.headers, "retry-after")
        return float(values[0]) if len(values) == 1 and _DELAY_SECONDS.fullmatch(values[0]) else None

    def excerpt(self) -> str:
        """The beginning of the body for an error message: printable, without markup, on one line."""
        return _one_line(_MARKUP.sub(" ", self._blacked_out(self.body.decode("utf-8", "replace"))))

    def phrase(self) -> str:
        """The reason phrase for an error message."""
        return _one_line(self._blacked_out(self.reason))

    def status_line(self) -> str:
        """Status, reason and, for a redirect, its target: ``HTTP 404 Not Found``."""
        line = f"HTTP {self.status} {self.phrase()}".rstrip()
        location = header_values(self.headers, "location")
        return f"{line} to {_one_line(self._blacked_out(location[0]))}" if location else line

    def _blacked_out(self, text: str) -> str:
        parts = {part for value in self.secrets for part in (value, *value.split())}
        for part in sorted(parts, key=len, reverse=True):
            if len(part) >= _SECRET_CHARACTERS:
                text = text.replace(part, "***")
        return text


def quoted(excerpt: str) -> str:
    """An excerpt as the end of a sentence about it; empty where there is none."""
    return f": {excerpt.rstrip('.')}" if excerpt else ""


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()[:REFUSAL_EXCERPT]


class ResponseReader:
    """Sends one request that asks to leave HTTP, and waits for the response.

    Args:
        method: The request's method.
        target: Its target.
        headers: Its header fields.
        secrets: What of them no error message may repeat.

    Attributes:
        http: The connection underneath.
        request: The bytes of the request.
        refusal: A refusal whose body may still be on its way; None before its head has come.

    Raises:
        LocalProtocolError: The target or a header field is not valid in HTTP.
    """

    __slots__ = ("_secrets", "http", "refusal", "request")

    def __init__(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], *, secrets: Iterable[str] = ()
    ) -> None:
        self._secrets = tuple(secrets)
        self.http = BoundedHttp(client=True)
        self.refusal: Refusal | None = None
        if not target.isascii():
            raise LocalProtocolError("The target of an HTTP request has to be ASCII; encode it first.")
        with local_errors():
            request = h11.Request(method=method, target=target, headers=encoded(headers))
        self.request = self.http.send(request, h11.EndOfMessage())

    def receive(self, data: bytes) -> h11.Response | h11.InformationalResponse | Refusal | None:
        """The response that leaves HTTP, or a refusal when enough of its body has come, or None for now.

        Args:
            data: What was read from the peer.

        Raises:
            NotHttp: This is no HTTP response. Once a refusal's head has come, what follows cannot raise.
        """
        try:
            self.http.feed(data)
            while True:
                event = self.http.next_event()
                if event is h11.NEED_DATA:
                    return None
                if isinstance(event, h11.Response | h11.InformationalResponse):
                    if self.http.switched:
                        return event
                    if isinstance(event, h11.Response):
                        reason = bytes(event.reason).decode("latin-1")
                        self.refusal = Refusal(
                            event.status_code, reason, decoded(event.headers), self._secrets
                        )
                elif isinstance(event, h11.Data) and self.refusal is not None:
                    self.refusal.body.extend(event.data)
                    if len(self.refusal.body) >= REFUSAL_BODY_BYTES:
                        return self.refusal
                else:
                    return self.refusal
        except NotHttp:
            if self.refusal is None:
                raise
            return self.refusal
