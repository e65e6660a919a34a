"""The driver's contract on the page names what there is, and all of it."""

import re
from pathlib import Path

import pytest

from rtmcore.client.core import ClientCore
from rtmcore.client.driven import Driven
from rtmcore.client.events import DRIVER_EVENTS, SendBytes
from rtmcore.client.room import RoomCore
from rtmcore.client.rtc import RtcCore
from rtmcore.client.transfers.registry import Transfers
from rtmcore.client.transfers.upload import Upload
from tests.docs.pages import DOCS, page, section, table

PAGE = page("howto/embed.md")
EXAMPLES = DOCS.parent / "examples"
_NAME = re.compile(r"`(\w+)")


def names(text: str) -> list[str]:
    return _NAME.findall(text)


def calls() -> list[str]:
    return [name for row in table(section(PAGE, "Calls").text) for name in names(row["Call"])]


@pytest.mark.parametrize("call", calls())
def test_every_call_is_there(call: str) -> None:
    assert hasattr(ClientCore, call)


def test_every_input_and_output_of_a_core_is_on_the_page() -> None:
    verbs = {
        "transport_opened", "transport_failed", "receive_data", "receive_eof", "token", "token_failed",
        "handed_over", "handle_timer", "next_output", "next_deadline",
    }  # fmt: skip
    assert verbs <= set(calls())
    for core in (RtcCore, RoomCore):
        assert issubclass(core, Driven)
        assert all(hasattr(core, verb) for verb in verbs - {"handed_over"})


def test_every_order_is_on_the_page() -> None:
    rows = [row["Output"] for row in table(section(PAGE, "Outputs").text)]
    told = {name for row in rows for name in names(row)[:1]}
    assert told == {kind.__name__ for kind in (*DRIVER_EVENTS, SendBytes)}


def test_what_is_said_about_files_is_there() -> None:
    for row in table(section(PAGE, "Files").text):
        for name in re.findall(r"core\.transfers\.(\w+)", row["Do"]):
            assert hasattr(Transfers, name)
        for name in re.findall(r"upload\.(\w+)", row["Do"]):
            assert hasattr(Upload, name)


@pytest.mark.parametrize("title", ["Six drivers to start from"])
def test_every_driver_is_on_the_page(title: str) -> None:
    told = {
        name for row in table(section(PAGE, title).text) for name in re.findall(r"`(\w+\.py)`", row["File"])
    }
    found = {path.name for path in Path(EXAMPLES / "embedding").glob("*.py")}
    assert told == found - {"conversation.py", "simulated_server.py"}


def test_every_example_is_on_its_page() -> None:
    text = page("howto/examples.md")
    told = set(re.findall(r"^\| `([\w.]+)", text, re.MULTILINE))
    programs = {path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("demo_")}
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("*.*"))}
    assert programs <= told
    assert folders - {"embedding"} <= told
