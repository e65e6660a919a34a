"""docs/protocol says what the code does: each packet, field, code and figure, and examples that decode."""

import json
import re
import types
import typing
from enum import IntEnum

import attrs
import pytest

from rtmcore import codes, limits
from rtmcore.service.config import ANNOUNCED_LIMITS
from rtmcore.wire.codec import JSON, MSGPACK
from rtmcore.wire.packets import TAGS, ChannelPosition, Count, KeptMessage, WrittenAttribute
from tests.docs.pages import Block, blocks, page, pages, section, sections, table, tables

EXAMPLES = [block for path in pages() for block in blocks(path) if block.info == "json"]

TYPES = {
    str: "string",
    Count: "integer",
    bool: "boolean",
    bytes: "bytes",
    list[str]: "list of string",
    list[ChannelPosition]: "list of channel position",
    list[KeptMessage]: "list of kept message",
    dict[str, WrittenAttribute]: "map of channel attribute",
    dict[str, int]: "map of integer",
    dict[str, Count]: "map of integer",
    dict[str, str]: "map of string",
}


# --- Packets ----------------------------------------------------------------------------------------------------


def documented_packets() -> dict[str, str]:
    return {one.title.strip("`"): one.text for one in sections(page("protocol/packets.md")) if one.level == 3}


def in_words(kind: object) -> str:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        (first, _) = typing.get_args(kind)
        return f"{in_words(first)} or null"
    return TYPES[kind]


def default_in_words(field: attrs.Attribute) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    value = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default
    return f"`{json.dumps(value)}`"


def fields_of(packet: type) -> list[tuple[str, str, str]]:
    hints = typing.get_type_hints(packet, include_extras=True)
    return [
        (f"`{field.name}`", in_words(hints[field.name]), default_in_words(field))
        for field in attrs.fields(packet)
    ]


def documented_fields(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    assert all(row["Meaning"] for row in rows)
    return [(row["Field"], row["Type"], row["Default"]) for row in rows]


def test_packets_documented_are_the_packets_there_are() -> None:
    assert list(documented_packets()) == list(TAGS)


@pytest.mark.parametrize("tag", TAGS)
def test_fields_documented_are_the_fields_there_are(tag: str) -> None:
    text = documented_packets()[tag]
    found = list(tables(text))
    if not attrs.fields(TAGS[tag]):
        assert found == []
        assert "It has no fields." in text
        return
    assert documented_fields(found[0]) == fields_of(TAGS[tag])


@pytest.mark.parametrize(
    ("tag", "part"),
    [("hello", ChannelPosition), ("channel_attributes", WrittenAttribute), ("messages", KeptMessage)],
)
def test_parts_of_packets_are_documented(tag: str, part: type) -> None:
    _, rows = tables(documented_packets()[tag])
    assert documented_fields(rows) == fields_of(part)


@pytest.mark.parametrize("tag", TAGS)
def test_each_packet_says_which_way_it_goes(tag: str) -> None:
    assert documented_packets()[tag].strip().startswith(("Client to server", "Server to client", "Both ways"))


# --- Examples ---------------------------------------------------------------------------------------------------


def test_there_are_examples_of_every_packet() -> None:
    shown = {tag for block in EXAMPLES for tag, _ in json.loads(block.code)}
    assert set(TAGS) == shown


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_example_decodes_and_has_no_field_that_does_not_exist(block: Block) -> None:
    written = json.loads(block.code)
    packets = JSON.decode(block.code.encode())
    assert [TAGS[tag] for tag, _ in written] == [type(packet) for packet in packets]
    for (tag, fields), (_, encoded) in zip(written, json.loads(JSON.encode(packets)), strict=True):
        assert fields == {name: encoded[name] for name in fields}, tag
        if tag == "hello":
            for position in fields.get("channels", []):
                assert set(position) == {field.name for field in attrs.fields(ChannelPosition)}


def test_the_same_packet_is_shown_in_both_encodings() -> None:
    text, hexadecimal = blocks_of("protocol/encoding.md")[-2:]
    binary = bytes.fromhex("".join(hexadecimal.code.split()))
    assert MSGPACK.decode(binary) == JSON.decode(text.code.encode())


def blocks_of(name: str) -> list[Block]:
    (path,) = [path for path in pages() if path.as_posix().endswith(f"docs/{name}")]
    return blocks(path)


# --- Codes ------------------------------------------------------------------------------------------------------


def test_close_codes_documented_are_those_there_are() -> None:
    rows = table(page("protocol/closing.md"))
    assert [(int(row["Code"]), row["Name"]) for row in rows] == [
        (code.value, code.name) for code in codes.CloseCode
    ]
    assert all(row["Sent when"] and row["What a client does"] for row in rows)


@pytest.mark.parametrize(
    ("title", "family"),
    [
        ("Login", codes.LoginError),
        ("Logout", codes.LogoutError),
        ("Send", codes.SendPeerMessageError),
        ("Publish", codes.SendChannelMessageError),
        ("Join", codes.JoinChannelError),
        ("Leave", codes.LeaveChannelError),
        ("Members", codes.GetMembersError),
        ("Renew", codes.RenewTokenError),
        ("Presence", codes.PeerSubscriptionStatusError),
        ("Query", codes.QueryPeersOnlineError),
        ("Subscriptions", codes.QueryPeersBySubscriptionOptionError),
        ("Counts", codes.ChannelMemberCountError),
        ("Attributes", codes.AttributeOperationError),
    ],
)
def test_error_codes_documented_are_those_there_are(title: str, family: type[IntEnum]) -> None:
    rows = table(section(page("protocol/errors.md"), title).text)
    documented = [(int(row["Code"]), row["Name"]) for row in rows if int(row["Code"])]
    assert documented == [(code.value, code.name) for code in family if code not in (0, 101, 102)]
    assert all(row["When"] for row in rows)


def test_states_documented_are_those_there_are() -> None:
    rows = table(section(page("protocol/session.md"), "The states of a client").text)
    assert [(row["State"], int(row["Number"])) for row in rows] == [
        (state.name, state.value) for state in codes.ConnectionState
    ]
    reasons = sorted(re.findall(r"([A-Z_]+) (\d)", " ".join(row["Reasons"] for row in rows)))
    assert reasons == sorted((reason.name, str(reason.value)) for reason in codes.ConnectionChangeReason)


# --- Limits ----------------------------------------------------------------------------------------------------


def test_limits_documented_are_those_announced() -> None:
    rows = table(section(page("protocol/limits.md"), "Announced in the welcome").text)
    documented = {row["Name"].strip("`"): int(row["Default"].replace(",", "")) for row in rows}
    assert documented == ANNOUNCED_LIMITS
    assert all(row["What it limits"] for row in rows)


def test_characters_of_ids_are_those_allowed() -> None:
    (listed,) = [block for block in blocks_of("protocol/limits.md") if block.info == "text"]
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 "
    assert set(letters) | set(listed.code.replace(" ", "").strip()) == limits.ID_CHARACTERS
