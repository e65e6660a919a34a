"""WebSocket frames, valid and not."""

from random import Random
from typing import Any

from rtmcore.wire.codec import Codec
from rtmcore.wire.packets import TAGS
from tests.fuzz import packets
from tests.fuzz.mutation import mutate

CONTROL = (0x8, 0x9, 0xA)
CLOSE_CODES = (0, 999, 1000, 1001, 1004, 1005, 1006, 1012, 1014, 1015, 2999, 3000, 4000, 4999, 5000, 65535)


def frame(
    first: int, payload: bytes, mask: bytes | None, form: int | None = None, claimed: int | None = None
) -> bytes:
    """One frame.

    Args:
        first: The byte with FIN, the reserved bits and the opcode.
        payload: What it carries.
        mask: Four bytes, or None for none.
        form: Bytes of the extended length: 0, 2 or 8; None for the shortest.
        claimed: The length that the header tells; None for the true one.
    """
    size = len(payload) if claimed is None else claimed
    if form is None:
        form = 0 if size < 126 else 2 if size < 1 << 16 else 8
    bit = 0 if mask is None else 0x80
    if form == 0:
        header = bytes((first, bit | (size & 0x7F)))
    else:
        header = bytes((first, bit | (126 if form == 2 else 127)))
        header += (size & ((1 << 8 * form) - 1)).to_bytes(form, "big")
    if mask is None:
        return header + payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = bytes(one ^ other for one, other in zip(payload, repeated, strict=True))
    return header + mask + masked


def stream(
    random: Random,
    codec: Codec,
    *,
    masked: bool,
    classes: tuple[type[Any], ...] = tuple(TAGS.values()),
    longest: int = 6,
) -> bytes:
    """A few frames in a row, most of them in order."""
    return b"".join(_one(random, codec, masked, classes) for _ in range(1 + random.randrange(longest)))


def _one(random: Random, codec: Codec, masked: bool, classes: tuple[type[Any], ...]) -> bytes:
    mask = random.randbytes(4) if masked is (random.random() < 0.99) else None
    data = 0x80 | (0x1 if codec.text else 0x2)
    chance = random.random()
    if chance < 0.45:
        made = codec.encode([packets.packet(random, classes) for _ in range(random.choice((1, 1, 2, 5)))])
        return frame(data, made, mask)
    if chance < 0.65:
        return frame(data, packets.loose_payload(random, codec, classes), mask)
    if chance < 0.72:
        return frame(data, mutate(random, packets.loose_payload(random, codec, classes)), mask)
    if chance < 0.82:
        return _fragments(random, codec, mask, classes)
    if chance < 0.90:
        return _control(random, mask)
    if chance < 0.93:
        return frame(data, b"", mask) * random.choice((1, 100))
    first = random.randrange(256) if random.random() < 0.5 else data
    payload = random.randbytes(random.choice((0, 1, 125, 126, 127, 300)))
    claimed = random.choice(
        (None, 0, 126, 65535, 65536, 1 << 18, (1 << 18) + 1, 1 << 31, (1 << 63) - 1, 1 << 63)
    )
    return frame(first, payload, mask, random.choice((None, 0, 2, 8)), claimed)


def _fragments(random: Random, codec: Codec, mask: bytes | None, classes: tuple[type[Any], ...]) -> bytes:
    message = codec.encode([packets.packet(random, classes)])
    count = random.choice((1, 2, 3, 10, 64, 65))
    size = max(1, -(-len(message) // count))
    parts = [message[start : start + size] for start in range(0, len(message), size)] or [b""]
    opcode = 0x1 if codec.text else 0x2
    made = b""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        first = (0x80 if last else 0) | (opcode if number == 0 else 0)
        made += frame(first, part, mask)
        if random.random() < 0.1:
            made += _control(random, mask)
    return made


def _control(random: Random, mask: bytes | None) -> bytes:
    opcode = 0x80 | random.choice(CONTROL)
    if opcode == 0x88:
        code = random.choice(CLOSE_CODES).to_bytes(2, "big")
        reason = random.choice(
            (b"", b"bye", b'{"r": 1500}', b'{"r": -1e400}', b"[" * 100, b"\xff\xfe", b'{"r":"x"}')
        )
        return frame(opcode, random.choice((b"", b"\x03", code, code + reason)), mask)
    payload = random.randbytes(random.choice((0, 1, 125, 126)))
    return frame(opcode, payload, mask) * random.choice((1, 1, 1, 64, 65))
