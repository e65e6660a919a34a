"""What both roles tell their owners."""

import attrs

from rtmcore.wire.http import Headers


@attrs.frozen
class HttpHead:
    """The head of a request, before its body: ask for that with `admit` or `admit_pieces`, or answer at once.

    Attributes:
        method: As the client wrote it, usually in upper case.
        target: Path and query.
        headers: All header fields.
        length: Bytes of the body; 0 without one, None where it comes in chunks.
        expects_continue: Whether the client waits for the interim response 100, which is made by asking for the body.
    """

    method: str
    target: str = attrs.field(repr=False)
    headers: Headers = attrs.field(repr=False)
    length: int | None = 0
    expects_continue: bool = False


@attrs.frozen
class HttpBody:
    """The body of the request that was admitted whole; answer now."""

    body: bytes = attrs.field(repr=False)


@attrs.define
class HttpPiece:
    """The next bytes of a body that was admitted in pieces; report them with `consumed` when they are done with.

    Attributes:
        data: At least one byte. How a body is cut follows from the reads alone and means nothing.
    """

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class HttpBodyEnd:
    """A body that was admitted in pieces is complete. A server answers now.

    Without it, a body that ends in `HttpEnded` or `HttpFailed` was cut.

    Attributes:
        size: Bytes of all its pieces.
    """

    size: int


@attrs.frozen
class HttpResponse:
    """The answer to the request that was sent, with its body.

    Attributes:
        status: 200 to 999.
        headers: All header fields.
        body: At most `limits.HTTP_ANSWER_BYTES`.
        reusable: Whether another request can be sent on this connection.
    """

    status: int
    headers: Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    reusable: bool


@attrs.frozen
class HttpAnswer:
    """The head of the answer to a request that was sent with `judge`: `admit` or `admit_pieces` ask for the body.

    Attributes:
        status: 200 to 999.
        headers: All header fields.
        length: Bytes of the body; 0 without one, None where only its end will tell.
    """

    status: int
    headers: Headers = attrs.field(repr=False)
    length: int | None


@attrs.frozen
class HttpInterim:
    """An interim response to a request that was begun with `start`; the final one is still to come.

    Attributes:
        status: 100 or 102 to 199; after 100 the body may be sent.
        headers: All header fields.
    """

    status: int
    headers: Headers = attrs.field(repr=False)


@attrs.frozen
class HttpFailed:
    """The exchange broke: close the connection once `data_to_send` is written.

    Attributes:
        what: The fault, in words that fit behind a colon; nothing of the peer's input is in it.
        status: The HTTP status that it comes to.
    """

    what: str
    status: int


@attrs.frozen
class HttpEnded:
    """The client or the last answer ended the connection in order: close it once `data_to_send` is written.

    Attributes:
        unread: Whether the client may still be sending a body that nobody reads. A socket that is closed then is
            reset, and the client may lose the answer: end its output, and read on for a moment before it is closed.
    """

    unread: bool = False
