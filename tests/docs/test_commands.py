"""Each `rtm` command that the documentation shows is one that the command line understands."""

import re
import shlex
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
import click
import pytest

from rtmcore.service import capacity
from rtmcore.service.config import ALL_RATES
from rtmsync.cli.app import COMMANDS, rtm
from rtmsync.server import settings
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.logs import LogSettings
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
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
    assert all(row["Option"] and row["Environment"] for row in rows)
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
    (tmp_path / "server.key").write_text("k" * 32)
    (tmp_path / "metrics.key").write_text("k" * 32)
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        settings.read_settings(path).config()


def test_the_whole_file_has_every_setting_as_it_is_without_the_file(tmp_path: Path) -> None:
    (block,) = [one for one in blocks(DOCS / "reference/settings.md") if one.info == "toml"]
    for line in block.code.splitlines():
        assert not line or line.startswith(("[", "#")) or " = " in line
    for name in ("app.key", "server.key", "metrics.key"):
        (tmp_path / name).write_text("k" * 32)
    (tmp_path / "app.certificate").write_text("0" * 32)
    path = tmp_path / "rtm.toml"
    path.write_text(block.code, encoding="utf-8")
    found = settings.read_settings(path)
    config = found.config()
    usual = ServerConfig(apps=config.apps)
    example = {"data_dir", "node", "allowed_origins", "metrics", "limits", "rates", "server_keys"}
    example |= {"tls_certificate", "tls_key", "metrics_keys"}
    for field in attrs.fields(ServerConfig):
        assert (getattr(config, field.name) == getattr(usual, field.name)) is (field.name not in example), (
            field
        )
    assert config.limits == capacity.in_force({})
    assert config.rates == ALL_RATES
    assert found.logs == LogSettings(file=tmp_path / "rtm.log")
    keys = set(re.findall(r"^(\w+) = ", block.code, re.MULTILINE))
    assert {*settings.PLAIN_KEYS, *settings.TLS_KEYS, *settings.LOG_KEYS, *settings.APP_KEYS} <= keys


def test_the_bounds_of_limits_are_documented() -> None:
    rows = table(section(page("reference/settings.md"), "How far limits go").text)
    documented = {
        row["Limit"].strip("`"): (number(row["Without it"]), number(row["At most"])) for row in rows
    }
    assert documented == {
        name: (figure.usual, figure.most) for name, figure in capacity.FIGURES.items() if figure.told
    }


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_metrics_are_documented(tmp_path: Path) -> None:
    rows = table(section(page("reference/settings.md"), "Metrics").text)
    documented = {
        row["Metric"].strip("`"): row["What it is"].partition(":")[0].partition(";")[0] for row in rows
    }
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)], port=0, data_dir=tmp_path / "data", drain_seconds=0.0, metrics=True
    )
    with (
        Server(config) as server,
        urllib.request.urlopen(f"http{server.url[2:]}/metrics", timeout=60) as answer,
    ):
        told = dict(re.findall(r"# TYPE (\S+) (\S+)", answer.read().decode()))
    assert documented == told
