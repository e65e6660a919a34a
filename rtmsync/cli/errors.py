"""`rtm errors`: what a code means and what to do, out of the tables that the library itself uses."""

import inspect
import re
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import attrs
import click

from rtmcore.codes import CloseCode, ConnectionChangeReason
from rtmcore.errors import ERROR_FAMILIES, error_class
from rtmsync.cli.exits import ExitCode
from rtmsync.cli.output import emit, note, say

_FAMILIES: Final[tuple[type[IntEnum], ...]] = (*ERROR_FAMILIES, ConnectionChangeReason, CloseCode)
_FIRST_OWN_CLOSE_CODE: Final = 4000
_FIRST_FINAL_CLOSE_CODE: Final = 4500
# Where the figures come from is for those who work on the project.
_SOURCE: Final = re.compile(r" \([^)]*\b(seeds?|headers|interface)\b[^)]*\)")


@attrs.frozen
class Meaning:
    """One code of one operation.

    Args:
        number: As on the wire and in logs.
        family: Name of the enumeration.
        name: Name of the member.
        aliases: Other names of the same member.
        about: What the enumeration is about, one sentence.
        error: Name of the exception that it is raised as; None for results and reasons.
        advice: What happened and what to do.
    """

    number: int
    family: str
    name: str
    aliases: tuple[str, ...]
    about: str
    error: str | None
    advice: str


def meanings() -> Iterator[Meaning]:
    """Every documented code, in the order of a client's life."""
    for family in _FAMILIES:
        about = _first_sentence(family)
        for member in family:
            aliases = tuple(
                name for name, other in family.__members__.items() if other is member and name != member.name
            )
            error, advice = _advice(family, member)
            yield Meaning(int(member), family.__name__, member.name, aliases, about, error, advice)


def _advice(family: type[IntEnum], member: IntEnum) -> tuple[str | None, str]:
    if family is CloseCode:
        return None, _close_advice(member)
    if family is ConnectionChangeReason:
        return None, "A reason that comes with a change of the connection's state."
    try:
        kind = error_class(member)
    except ValueError:
        return None, "A result, not an error."
    hint = kind.default_hint
    text = _paragraph(kind)
    return kind.__name__, text if hint is None or hint in text else f"{text} {hint}"


def _close_advice(member: IntEnum) -> str:
    if member < _FIRST_OWN_CLOSE_CODE:
        return "Ends one WebSocket; a client that is logged in comes back by itself."
    if member < _FIRST_FINAL_CLOSE_CODE:
        return (
            "Ends one WebSocket; the client comes back by itself, unless a newer connection has taken over."
        )
    return "Ends the session: the client stays away until the application logs in again."


def _paragraph(thing: type) -> str:
    text = " ".join(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].split())
    return text.replace("``", "")


def _first_sentence(family: type[IntEnum]) -> str:
    return _SOURCE.sub("", _paragraph(family)).split(". ")[0].rstrip(".") + "."


def matching(query: str) -> list[Meaning]:
    """The codes that a word stands for.

    Args:
        query: A number, the name of a code (`TOO_OFTEN`), of an enumeration (`JoinChannelError`), both with a dot
            between them, or of an exception (`RateLimited`); case does not matter.
    """
    word = query.strip().casefold()
    return [
        meaning
        for meaning in meanings()
        if word
        in {
            str(meaning.number),
            meaning.family.casefold(),
            (meaning.error or meaning.family).casefold(),
            *(name.casefold() for name in (meaning.name, *meaning.aliases)),
            *(f"{meaning.family}.{name}".casefold() for name in (meaning.name, *meaning.aliases)),
        }
    ]


@click.command("errors")
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each code.")
def command(code: str | None, as_json: bool) -> int:
    """Explain an error code, a close code or an exception; without CODE list them all.

    CODE is a number (7), a name (TOO_OFTEN), an enumeration (JoinChannelError), both (JoinChannelError.TOO_OFTEN)
    or an exception (RateLimited). The same number means different things in different operations.
    """
    found = list(meanings()) if code is None else matching(code)
    if not found:
        note(f"rtm errors: {code} is no documented code; `rtm errors` lists them all.")
        return ExitCode.FAILURE
    if as_json:
        for meaning in found:
            emit(attrs.asdict(meaning))
    elif code is None:
        _list(found)
    else:
        for meaning in found:
            _show(meaning)
    return ExitCode.OK


def _show(meaning: Meaning) -> None:
    also = f", also {', '.join(meaning.aliases)}" if meaning.aliases else ""
    raised = f" -> {meaning.error}" if meaning.error else ""
    say(f"{meaning.number} {meaning.family}.{meaning.name}{also}{raised}")
    say(f"    {meaning.about}")
    say(f"    {meaning.advice}")


def _list(found: list[Meaning]) -> None:
    if sys.stdout.isatty():
        _list_as_table(found)
        return
    for meaning in found:
        say(f"{meaning.number}\t{meaning.family}.{meaning.name}\t{meaning.error or ''}")


def _list_as_table(found: list[Meaning]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("Code", "Name", "Raised as", box=None, pad_edge=False)
    family = ""
    for meaning in found:
        if meaning.family != family:
            family = meaning.family
            table.add_row("", f"[bold]{family}[/bold]: {meaning.about}", "")
        table.add_row(str(meaning.number), f"  {meaning.name}", meaning.error or "")
    Console().print(table)
