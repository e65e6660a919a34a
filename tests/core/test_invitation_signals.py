"""The signals of call invitations on the wire: what is read, and what is no signal."""

import json
from typing import Any

import pytest

from rtmcore.limits import INVITATION_SIGNAL_BYTES
from rtmcore.wire.invitations import (
    InvitationSignal,
    Signal,
    decode_signal,
    encode_signal,
    explain_invalid_text,
)

INVITE = {"signal": "invite", "id": "x-1"}


def body(**fields: Any) -> bytes:
    return json.dumps({**INVITE, **fields}).encode()


def test_a_signal_survives_the_way() -> None:
    signal = InvitationSignal(Signal.INVITE, "x-1", 1500, "how are you \N{WAVING HAND SIGN}?", "room")
    assert decode_signal(encode_signal(signal)) == signal


def test_the_shortest_signal_and_one_of_a_newer_version() -> None:
    assert decode_signal(body()) == InvitationSignal(Signal.INVITE, "x-1")
    assert decode_signal(body(color="red", deep=[[[]]])) == InvitationSignal(Signal.INVITE, "x-1")


@pytest.mark.parametrize(
    ("name", "most"), [("id", 64), ("content", 8192), ("channel", 64), ("response", 8192)]
)
def test_texts_at_their_limits(name: str, most: int) -> None:
    assert decode_signal(body(**{name: "x" * most})) is not None
    assert decode_signal(body(**{name: "x" * (most + 1)})) is None
    assert decode_signal(body(**{name: "\N{GREEK SMALL LETTER PI}" * (most // 2)})) is not None
    assert decode_signal(body(**{name: "\N{GREEK SMALL LETTER PI}" * (most // 2 + 1)})) is None


def test_the_longest_content_fits_whatever_it_is() -> None:
    signal = InvitationSignal(Signal.CANCEL, "x" * 64, 2**53 - 1, "\x01" * 8192, "\x01" * 64)
    assert len(encode_signal(signal)) < INVITATION_SIGNAL_BYTES
    assert decode_signal(encode_signal(signal)) == signal


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b'{"signal": "invite"}',
        b'{"id": "x"}',
        body(signal="shout"),
        body(signal=1),
        body(id=""),
        body(id=7),
        body(age=-1),
        body(age=2**53),
        body(age=1.5),
        body(age="1"),
        body(content=None),
        body(content=b"bytes".hex()) + b"x",
        b'{"signal": "invite", "id": "\xff"}',
        b'{"signal": "invite", "id": "\\ud800"}',
        b'{"x": ' + b"[" * 60_000,
        b" " * INVITATION_SIGNAL_BYTES + body(),
    ],
)
def test_what_is_no_signal(raw: bytes) -> None:
    assert decode_signal(raw) is None


def test_what_is_wrong_with_a_text() -> None:
    assert explain_invalid_text("x" * 8, "content", 8) is None
    assert "9 bytes; at most 8" in (explain_invalid_text("x" * 9, "content", 8) or "")
    assert "not int" in (explain_invalid_text(1, "content", 8) or "")
    assert "cannot be sent" in (explain_invalid_text("\ud800", "content", 8) or "")
