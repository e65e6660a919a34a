"""Random packets: valid ones, and ones whose fields hold what they must not."""

from random import Random
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec

from rtmcore.codes import MessageType
from rtmcore.wire.codec import JSON, MSGPACK, Codec
from rtmcore.wire.packets import TAGS, ChannelPosition, KeptMessage, Packet, WrittenAttribute

IDS = (
    "alice",
    "bob",
    "mallory",
    "lobby",
    "room-1",
    "x",
    "ü",
    "",
    "a" * 64,
    "a" * 65,
    "null",
    " ",
    "\ud7ff",
    "\0",
)
NUMBERS = (0, 1, 2, 3, 5, 100, 1023, 1024, 2**31, 2**53 - 2, 2**53 - 1)
WRONG = (
    None,
    -1,
    2**53,
    2**64 - 1,
    -(2**63),
    1.5,
    1e300,
    "",
    "1",
    b"",
    b"\0" * 40,
    [],
    {},
    [[]],
    True,
    [None] * 70,
)

_HINTS: dict[type[Any], dict[str, Any]] = {
    cls: get_type_hints(cls, include_extras=False)
    for cls in (*TAGS.values(), WrittenAttribute, ChannelPosition, KeptMessage)
}


def _value(random: Random, hint: Any, name: str) -> Any:
    """A value of the type."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _value(random, get_args(hint)[0], name)
    if origin in (Union, UnionType):
        return _value(random, random.choice(get_args(hint)), name)
    if origin is list:
        item = get_args(hint)[0]
        return [_value(random, item, name) for _ in range(random.choice((0, 1, 2, 25)))]
    if origin is dict:
        key, item = get_args(hint)
        return {
            _value(random, key, name): _value(random, item, name) for _ in range(random.choice((0, 1, 3, 40)))
        }
    if hint is NoneType:
        return None
    if hint is bool:
        return random.random() < 0.5
    if hint is int:
        if name == "kind":
            return random.choice((MessageType.TEXT.value, MessageType.RAW.value, *NUMBERS))
        return random.choice(NUMBERS) if random.random() < 0.5 else random.randrange(200)
    if hint is str:
        if name == "iid":
            return f"{random.randrange(8):016d}"
        if name == "kind":
            return random.choice(("rtm", "rtm", "rtc", "room", ""))
        return random.choice(IDS)
    if hint is bytes:
        return random.choice((b"", b"hello", "grüß dich".encode(), b"\xff\xfe", bytes(300), bytes(33_000)))
    return build(random, hint)


def build(random: Random, cls: type[Any]) -> Any:
    """A packet of the class with random, well-typed fields."""
    return cls(**{name: _value(random, hint, name) for name, hint in _HINTS[cls].items()})


def packet(random: Random, classes: tuple[type[Any], ...] = tuple(TAGS.values())) -> Packet:
    """A packet of one of the classes."""
    made: Packet = build(random, random.choice(classes))
    return made


def loose_payload(
    random: Random, codec: Codec, classes: tuple[type[Any], ...] = tuple(TAGS.values())
) -> bytes:
    """A message in the right encoding, whose packets are wrong here and there."""
    tags = {cls: tag for tag, cls in TAGS.items()}
    message: list[Any] = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 64, 65))):
        cls = random.choice(classes)
        fields = attrs.asdict(build(random, cls))
        for name in list(fields):
            chance = random.random()
            if chance < 0.04:
                fields[name] = random.choice(WRONG)
            elif chance < 0.06:
                del fields[name]
            elif chance < 0.07:
                fields[f"{name}x"] = random.choice(WRONG)
        tag: Any = tags[cls] if random.random() < 0.97 else random.choice(("", "nosuch", "x" * 33, None, 7))
        message.append(
            [tag, fields] if random.random() < 0.98 else random.choice(([tag], [], [tag, fields, 1], tag))
        )
    whole: Any = message if random.random() < 0.98 else random.choice(({}, None, 1, "x", [message]))
    return encode_loosely(codec, whole)


def encode_loosely(codec: Codec, value: Any) -> bytes:
    """Any value in the codec's encoding, whether it is a message or not."""
    return msgspec.msgpack.encode(value) if codec is MSGPACK else msgspec.json.encode(value)


CODECS = (MSGPACK, JSON)
