"""How valid input becomes invalid: a few random changes, each of a kind that decoders get wrong."""

from collections.abc import Callable, Sequence
from random import Random

INTERESTING = (0, 1, 2, 16, 63, 64, 125, 126, 127, 128, 255, 256, 32767, 32768, 65535, 65536)
BIG = (
    1 << 18,
    (1 << 18) + 1,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    (1 << 53) - 1,
    1 << 53,
    (1 << 63) - 1,
    (1 << 64) - 1,
)

NESTERS = (b"[", b'{"a":', b"\x91", b"\x81\xa1a", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01")

TOKENS = (
    b"\r\n", b"\r\n\r\n", b"\n", b"\0", b": ", b",", b'"', b"\\", b"\\ud800", b"\xed\xa0\x80", b"\xff\xfe",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n", b"Upgrade: websocket\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n",
    b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n", b"Sec-WebSocket-Protocol: rtm.v1.json\r\n",
    b"\x16\x03\x01\x02\x00\x01", b"1e999", b"-1", b"NaN", b"1e-400", b"9" * 40, b"null", b"true", b"{}", b"[]",
    b"\xc0", b"\xc1", b"\xca\x7f\xc0\x00\x00", b"\xcb\xff\xf8\x00\x00\x00\x00\x00\x00", b"\xd6\xff\x00\x00\x00\x00",
    b"\xc7\x0c\xff", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
)  # fmt: skip
"""Pieces of HTTP, JSON and MessagePack that stand for trouble."""

LONGEST = 1 << 19
"""Bytes beyond which nothing is made longer."""


def _position(random: Random, data: bytearray) -> int:
    return random.randrange(len(data) + 1)


def _range(random: Random, data: bytearray) -> slice:
    start = _position(random, data)
    return slice(start, min(len(data), start + 1 + int(random.expovariate(1 / 12))))


def _flip_bit(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set_byte(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice((random.randrange(256), 0, 0x7F, 0x80, 0xFF))


def _insert_noise(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    position = _position(random, data)
    data[position:position] = random.randbytes(1 + int(random.expovariate(1 / 8)))


def _insert_token(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    position = _position(random, data)
    data[position:position] = random.choice(TOKENS)


def _replace_by_token(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[_range(random, data)] = random.choice(TOKENS)


def _delete(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_range(random, data)]


def _truncate(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_position(random, data) :]


def _behead(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[: _position(random, data)]


def _repeat(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    part = _range(random, data)
    times = random.choice((1, 2, 3, 16, 64, 1000))
    data[part.stop : part.stop] = data[part] * times


def _nest(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    position = _position(random, data)
    data[position:position] = random.choice(NESTERS) * random.choice((8, 100, 1000, 20_000))


def _lie_about_length(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Overwrite one to eight bytes by a number that may be taken for a length."""
    width = random.choice((1, 2, 4, 8))
    number = random.choice(BIG if width > 2 and random.random() < 0.6 else INTERESTING)
    position = _position(random, data)
    data[position : position + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "big")


def _splice(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if others:
        other = random.choice(others)
        data[_position(random, data) :] = other[random.randrange(len(other) + 1) :]


def _swap(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    one, other = _range(random, data), _range(random, data)
    data[one], data[other] = data[other], data[one]


_CHANGES: Sequence[Callable[[Random, bytearray, Sequence[bytes]], None]] = (
    _flip_bit, _flip_bit, _set_byte, _set_byte, _insert_noise, _insert_token, _replace_by_token, _delete,
    _truncate, _behead, _repeat, _nest, _lie_about_length, _lie_about_length, _splice, _swap,
)  # fmt: skip


def mutate(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to about eight random changes.

    Args:
        random: Where chance comes from.
        data: What is changed.
        others: What may be spliced in.
    """
    changed = bytearray(data)
    for _ in range(1 + min(8, int(random.expovariate(1 / 2)))):
        if len(changed) > LONGEST:
            break
        random.choice(_CHANGES)(random, changed, others)
    return bytes(changed[: 2 * LONGEST])


def cut(random: Random, data: bytes) -> list[bytes]:
    """The same bytes as they may come out of a socket: whole, byte by byte, or in random pieces."""
    way = random.random()
    if way < 0.4 or not data:
        step = 1 << 16  # a driver reads no more at once
        return [data[start : start + step] for start in range(0, len(data), step)]
    if way < 0.6 and len(data) <= 4096:
        return [data[position : position + 1] for position in range(len(data))]
    pieces = []
    position = 0
    while position < len(data):
        size = min(1 + int(random.expovariate(1 / random.choice((4, 64, 4096)))), 1 << 16)
        pieces.append(data[position : position + size])
        position += size
    return pieces
