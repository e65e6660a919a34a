"""The one codec: packets to and from the bytes of a WebSocket message.

MessagePack for programs, JSON for browsers and people, with the same packets
and names. Decoding is strict: a wrong type, a missing field, a number out of
range or too many packets is an error, never a guess; unknown fields and unknown
tags are ignored, so that newer peers can say more.

The outer array is decoded first, with the bodies left as they are; each body
then goes through the decoder of its class. So nothing is built from a body that
is not wanted, whatever it holds, and its depth is bounded by the decoder.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from rtmcore.codes import CloseCode
from rtmcore.errors import RemoteProtocolError
from rtmcore.limits import PACKETS_PER_FRAME
from rtmcore.wire.packets import TAGS, Packet, Unknown

_Frame = Annotated[list[tuple[Annotated[str, Meta(max_length=32)], Raw]], Meta(max_length=PACKETS_PER_FRAME)]

_NAMES: Final[dict[type[Any], str]] = {packet: tag for tag, packet in TAGS.items()}


class Codec:
    """Turns packets into the payload of a WebSocket message and back.

    Attributes:
        subprotocol: The name that WebSocket peers agree on, `rtm.v1.…`.
        text: True where messages are WebSocket text, False where binary.
    """

    __slots__ = ("_bodies", "_decode", "_encode", "_unknown", "subprotocol", "text")

    def __init__(self, subprotocol: str, library: Any, *, text: bool) -> None:
        self.subprotocol = subprotocol
        self.text = text
        self._encode: Callable[[object], bytes] = library.Encoder().encode
        self._decode: Callable[[bytes], list[tuple[str, Raw]]] = library.Decoder(_Frame).decode
        self._bodies: dict[str, Callable[[Raw], Packet]] = {
            tag: library.Decoder(packet).decode for tag, packet in TAGS.items()
        }
        self._unknown: Callable[[Raw], Packet] = library.Decoder(Unknown).decode

    def encode(self, packets: Sequence[Packet]) -> bytes:
        """The payload for these packets.

        Args:
            packets: At most `limits.PACKETS_PER_FRAME`.
        """
        names = _NAMES
        return self._encode([(names[packet.__class__], packet) for packet in packets])

    def decode(self, payload: bytes) -> list[Packet]:
        """The packets of a payload, in order.

        Raises:
            RemoteProtocolError: The payload is not an array of at most
                `limits.PACKETS_PER_FRAME` well-formed packets.
        """
        bodies = self._bodies
        try:
            return [bodies.get(tag, self._unknown)(body) for tag, body in self._decode(payload)]
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise RemoteProtocolError(
                f"The peer sent a {self.subprotocol} message that is not well formed: {error}.",
                close_code=CloseCode.MALFORMED,
            ) from None


MSGPACK: Final = Codec("rtm.v1.msgpack", msgspec.msgpack, text=False)
JSON: Final = Codec("rtm.v1.json", msgspec.json, text=True)

CODECS: Final[dict[str, Codec]] = {codec.subprotocol: codec for codec in (MSGPACK, JSON)}
"""By subprotocol, in the server's order of preference."""
