"""The map of names: every documented name, every code and every public name of ours has its row, and rows are true."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache

import pytest

import rtmsync
from docs import apimap
from rtmcore import codes, errors, models
from rtmsync.server.server import Server
from rtmsync.subscriptions import Subscription
from tests.docs.documented import NAMES, NUMBERS, RTC_NUMBERS
from tests.docs.pages import DOCS, page, section, tables

TEXT = page("reference/api-map.md")
TABLES = list(tables(TEXT))
CODES = [row for rows in TABLES for row in rows if "Value" in row]
ROWS = [row for rows in TABLES for row in rows if "Document" in row]
OWN = section(TEXT, "Names of our own").text
WITHOUT_TEST = ("*out*: ", "not needed", "not applicable: ")

#: Whose public methods and properties have a row each, or a place among the names of our own.
CLASSES = (
    rtmsync.Client,
    rtmsync.Channel,
    rtmsync.RtcChannel,
    rtmsync.Room,
    rtmsync.RemoteParticipant,
    rtmsync.DataTrack,
    rtmsync.Publisher,
    rtmsync.LocalInvitation,
    rtmsync.RemoteInvitation,
    rtmsync.Transfer,
    Subscription,
    Server,
)


#: Words in code type that are no names of ours.
WORDS = frozenset(
    "str bytes dict kind text raw room error with TimeoutError send_peer Login Logout Join Leave".split()
)

#: What is said in words, or by an argument.
IN_WORDS = frozenset(
    """
    createMessage initWithText initWithRawData createChannelAttribute enableNotificationToChannelMembers VideoGrant ttl
    token.identity enableOfflineMessaging enableHistoricalMessaging
    """.split()
)


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def python_names(cell: str) -> list[str]:
    """The names in a cell that are ours: a class or function, or what it has. Words like `offline=True` are none."""
    return re.findall(r"`((?:rtmsync\.|rtmcore\.)?[A-Z_a-z][A-Za-z_.]+)(?:\([^`]*)?`", cell)


def resolve(name: str) -> object:
    """What a name stands for.

    Raises:
        AttributeError: Nothing.
    """
    first, *rest = name.split(".")
    if first in ("rtmsync", "rtmcore"):
        start: object = importlib.import_module(first)
        while rest and inspect.ismodule(start) and not hasattr(start, rest[0]):
            start = importlib.import_module(f"{start.__name__}.{rest.pop(0)}")
    elif first == "Server":
        start = Server
    else:
        start = getattr(rtmsync, first)
    for one in rest:
        # The fields of a slotted class are attributes of its instances only.
        if not hasattr(start, one) and one in getattr(start, "__annotations__", {}):
            return None
        if isinstance(start, type) and issubclass(start, errors.RtmError) and not hasattr(start, one):
            return getattr(start(), one)
        start = getattr(start, one)
    return start


@cache
def functions(path: str) -> dict[str, str]:
    """The tests of a file, with their decorators."""
    tree = ast.parse((DOCS.parent / path).read_text(encoding="utf-8"))
    return {
        node.name: "\n".join(ast.unparse(decorator) for decorator in node.decorator_list)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def shown_in(cell: str) -> list[str]:
    return [name for name in quoted(cell) if name.startswith("tests/")]


# --- Rows are true ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Document"].replace("`", ""))
def test_the_names_of_a_row_exist(row: dict[str, str]) -> None:
    names = [name for name in python_names(row["Python"]) if name not in WORDS]
    for name in names:
        resolve(name)
    assert names or row["Python"].startswith(WITHOUT_TEST) or quoted(row["Document"])[0] in IN_WORDS


@pytest.mark.parametrize(
    "test", sorted({test for row in ROWS + CODES for test in shown_in(row["Test"])}), ids=lambda test: test
)
def test_a_test_of_a_row_exists(test: str) -> None:
    path, _, name = test.partition("::")
    function, _, case = name.partition("[")
    assert function in functions(path)
    # The case of a test with several.
    assert all(part in functions(path)[function] for part in case.rstrip("]").split("-"))


def test_every_row_has_a_test_or_a_reason() -> None:
    for row in ROWS:
        assert bool(shown_in(row["Test"])) != row["Python"].startswith(WITHOUT_TEST), row
    for row in CODES:
        assert bool(shown_in(row["Test"])) != row["Test"].startswith(WITHOUT_TEST), row


def test_nothing_is_still_to_come() -> None:
    assert "not yet" not in TEXT


# --- Nothing is missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_documented_name_has_a_row(name: str) -> None:
    found = {
        part
        for row in ROWS
        for text in quoted(row["Document"])
        for part in (text, *re.split(r"[/?\s]", text))
    }
    assert name in found


@pytest.mark.parametrize("pair", [*NUMBERS.split(), *RTC_NUMBERS.split()])
def test_every_documented_code_has_a_row(pair: str) -> None:
    name, _, number = pair.partition("=")
    (row,) = [row for row in CODES if name in quoted(row.get("Objective-C", ""))]
    family, _, member = quoted(row["Python"])[0].partition(".")
    assert getattr(codes, family)[member].value == int(number) == int(row["Value"], 0)


def enumerations() -> Iterator[type[Enum]]:
    for module in (codes, models, importlib.import_module("rtmsync.publisher")):
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, Enum) and kind.__module__ == module.__name__:
                yield kind


def test_every_enumeration_has_a_table_and_every_member_a_row() -> None:
    assert set(apimap.enumerations()) == set(enumerations())
    for kind in enumerations():
        members = [name for name, member in kind.__members__.items() if name == member.name]
        rows = [
            name for row in CODES for name in quoted(row["Python"]) if name.startswith(f"{kind.__name__}.")
        ]
        assert rows == [f"{kind.__name__}.{name}" for name in members]


MENTIONED = {
    name.removeprefix("rtmsync.")
    for text in (OWN, *(row["Python"] for row in ROWS))
    for name in python_names(text)
}
OF_ANY_CLASS = {name for name in python_names(OWN) if "." not in name and name.islower() and name[0] != "_"}


@pytest.mark.parametrize("name", rtmsync.__all__)
def test_every_public_name_is_in_the_map(name: str) -> None:
    value = getattr(rtmsync, name)
    if inspect.isclass(value) and issubclass(value, errors.RtmError):
        assert f"`{name}`" in page("reference/errors.md")
    elif inspect.isclass(value) and issubclass(value, Enum):
        assert value in set(apimap.enumerations())
    else:
        assert name in {mentioned.partition(".")[0] for mentioned in MENTIONED}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_public_method_is_in_the_map(kind: type) -> None:
    public = {name.removesuffix("_future") for name in dir(kind) if not name.startswith("_")}
    mentioned = {name.partition(".")[2] for name in MENTIONED if name.startswith(f"{kind.__name__}.")}
    assert public - mentioned - OF_ANY_CLASS == set()


def test_names_of_our_own_exist() -> None:
    for name in python_names(OWN):
        if name in OF_ANY_CLASS:
            assert any(hasattr(kind, name) for kind in CLASSES) or hasattr(rtmsync, name), name
        elif name != "_future":
            resolve(name)
