"""Each `rtm` command that the documentation shows is one that the command line understands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rtmsync.cli.app import COMMANDS, rtm
from rtmsync.server import settings
from tests.docs.pages import DOCS, blocks, page, pages, section, table


def shown() -> Iterator[tuple[str, str]]:
    """Where a command is shown, and the command without the program's name."""
    for path in pages():
        for block in blocks(path):
            if block.info == "sh":
                for line in block.code.replace("\\\n", " ").splitlines():
                    if line.startswith("rtm "):
                        yield str(block), line.partition(">")[0].removeprefix("rtm ")
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    for line in re.findall(r"^    \.venv/bin/rtm (.+)$", readme, re.MULTILINE):
        yield "README.md", line


SHOWN = list(shown())


def parse(words: list[str]) -> None:
    """Parse a command line as click would, and carry nothing out."""
    command: click.Command = rtm
    context = click.Context(rtm)
    while isinstance(command, click.Group) and words and words[0] in command.list_commands(context):
        inner = command.get_command(context, words[0])
        assert inner is not None
        command, words = inner, words[1:]
    command.make_context("rtm", list(words))


@pytest.mark.parametrize(("place", "line"), SHOWN, ids=[f"{place} {line}" for place, line in SHOWN])
def test_a_command_that_is_shown_can_be_parsed(place: str, line: str) -> None:
    parse(shlex.split(line, comments=True))


def test_every_command_and_every_shared_option_is_documented() -> None:
    text = page("reference/command.md")
    documented = [row["Command"] for row in table(text.partition("\n## ")[0])]
    assert documented == [f"`rtm {name}`" for name in COMMANDS]
    chat = rtm.get_command(click.Context(rtm), "chat")
    assert chat is not None
    shared = {
        option: parameter.envvar
        for parameter in chat.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    rows = table(section(text, "Who, and where").text)
    options = {
        option: row["Environment"].strip("`") or None
        for row in rows
        for option in re.findall(r"`(-[-\w]+)`", row["Option"])
    }
    assert options == shared


def test_every_setting_of_a_server_is_documented_in_its_three_places() -> None:
    serve = rtm.get_command(click.Context(rtm), "serve")
    assert serve is not None
    there = {
        tuple(sorted((*parameter.opts, *parameter.secondary_opts))): parameter.envvar
        for parameter in serve.params
        if isinstance(parameter, click.Option) and parameter.envvar is not None
    }
    rows = table(section(page("howto/server.md"), "Settings").text)
    documented = {
        tuple(sorted(re.findall(r"`(-[-\w]+)`", row["Option"]))): row["Environment"].strip("`")
        for row in rows
        if row["Option"]
    }
    assert documented == there
    keys = {row["In the file"].strip("`") for row in rows} - {""}
    plain = {key for key in keys if "." not in key}
    assert plain == {*settings.PLAIN_KEYS, "rates", "limits"}
    assert keys - plain == {f"apps.{key}" for key in settings.APP_KEYS} | {
        f"tls.{key}" for key in settings.TLS_KEYS
    } | {f"log.{key}" for key in settings.LOG_KEYS}


def test_the_settings_that_are_shown_can_be_read(tmp_path: Path) -> None:
    shown = [block.code for path in pages() for block in blocks(path) if block.info == "toml"]
    assert shown
    (tmp_path / "app.key").write_text("k" * 32)
    (tmp_path / "app.certificate").write_text("0" * 32)
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        settings.read_settings(path).config()
