"""HTTP/1.1 requests with bodies and their answers, for both roles, one after the other on one connection.

Bytes go in, bytes and events come out; no socket, no clock. Everything is bounded however the stream is cut into
reads, and peer input never raises: what breaks a rule becomes one `HttpFailed` event. `h11` reads and writes the
heads; the bytes of bodies pass by it.

Who uses a connection decides on each body by the head before it: `admit` asks for it whole, `admit_pieces` for
pieces as they come. A body to be sent is given whole with the head (`respond`, `request`), or `start` sends the head
and `send` the pieces. Three things keep memory bounded on both ways:

- `wants_data` tells whether to read from the socket. It is False while pieces wait that were not reported as
  `consumed`, and while bytes wait whose turn has not come.
- `room` tells how many bytes `send` takes now. It grows when the socket took what `data_to_send` gave: call that
  only when the socket takes more.
- After each call that takes bytes or says something, look at `next_event`, `data_to_send` and `wants_data`.

There is no clock here: a peer that is slow, or never says what it is waited for, is the business of the owner's
deadlines.
"""

from rtmcore.wire.exchange.client import HttpClientConnection
from rtmcore.wire.exchange.events import (
    HttpAnswer,
    HttpBody,
    HttpBodyEnd,
    HttpEnded,
    HttpFailed,
    HttpHead,
    HttpInterim,
    HttpPiece,
    HttpResponse,
)
from rtmcore.wire.exchange.server import HttpServerConnection

__all__ = [
    "HttpAnswer",
    "HttpBody",
    "HttpBodyEnd",
    "HttpClientConnection",
    "HttpEnded",
    "HttpFailed",
    "HttpHead",
    "HttpInterim",
    "HttpPiece",
    "HttpResponse",
    "HttpServerConnection",
]
