"""`rtm errors`: what a code means, why it happens and what to do, in the words that the library itself keeps."""

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from enum import IntEnum
from typing import Final

import attrs
import click

from rtmcore.errors import error_class
from rtmcore.explanations.lookup import FAMILIES, explanation
from rtmsync.cli.output import emit, note, say
from rtmsync.exits import ExitCode

_SUGGESTIONS: Final = 5
_AROUND: Final = " \t.,:;'\"`()[]"
"""What people copy along with a code."""
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
        error: Name of the exception that it is raised as; None for results, reasons and close codes.
        means: What the code says.
        why: How it comes about.
        advice: What to do.
    """

    number: int
    family: str
    name: str
    aliases: tuple[str, ...]
    about: str
    error: str | None
    means: str
    why: str
    advice: str

    @property
    def words(self) -> set[str]:
        """Everything that it can be asked for by, in lower case."""
        names = (self.name, *self.aliases)
        return {
            word.casefold()
            for word in (
                str(self.number),
                self.family,
                self.error or self.family,
                *names,
                *(f"{self.family}.{name}" for name in names),
            )
        }


def meanings() -> Iterator[Meaning]:
    """Every documented code, in the order of a client's life."""
    for family in FAMILIES:
        about = _first_sentence(family)
        for member in family:
            aliases = tuple(
                name for name, other in family.__members__.items() if other is member and name != member.name
            )
            said = explanation(member)
            yield Meaning(
                int(member),
                family.__name__,
                member.name,
                aliases,
                about,
                _raised_as(member),
                *(text.replace("`", "") for text in (said.means, said.why, said.advice)),
            )


def _raised_as(member: IntEnum) -> str | None:
    try:
        return error_class(member).__name__
    except ValueError:
        return None


def _first_sentence(family: type[IntEnum]) -> str:
    text = " ".join(inspect.cleandoc(family.__doc__ or "").split("\n\n")[0].split())
    return _SOURCE.sub("", text).replace("`", "").split(". ")[0].rstrip(".") + "."


def matching(query: str) -> list[Meaning]:
    """The codes that a word stands for.

    Args:
        query: A number, the name of a code (`TOO_OFTEN`), of an enumeration (`JoinChannelError`), both with a dot
            between them, or of an exception (`RateLimited`); case does not matter.
    """
    word = query.strip(_AROUND).casefold()
    return [meaning for meaning in meanings() if word in meaning.words]


def near(query: str) -> list[str]:
    """What somebody may have meant who asked for what there is not: names, or the numbers that begin alike."""
    word = query.strip(_AROUND).casefold()
    known = {text.casefold(): text for meaning in meanings() for text in _spellings(meaning)}
    if word.isdecimal():
        numbers = sorted({meaning.number for meaning in meanings()}, key=lambda one: abs(one - int(word)))
        return [str(number) for number in sorted(numbers[:_SUGGESTIONS])]
    inside = [known[text] for text in known if word and word in text and "." not in text]
    return list(dict.fromkeys([*inside, *(known[text] for text in get_close_matches(word, known))]))[
        :_SUGGESTIONS
    ]


def _spellings(meaning: Meaning) -> Iterator[str]:
    names = (meaning.name, *meaning.aliases)
    yield from (meaning.family, meaning.error or meaning.family, *names)
    yield from (f"{meaning.family}.{name}" for name in names)


@click.command("errors")
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each code.")
def command(code: str | None, as_json: bool) -> int:
    """Explain an error code, a close code, a reason or an exception; without CODE list them all.

    CODE is a number (7), a name (TOO_OFTEN), an enumeration (JoinChannelError), both (JoinChannelError.TOO_OFTEN)
    or an exception (RateLimited). The same number means different things in different operations.
    """
    found = list(meanings()) if code is None else matching(code)
    if not found:
        guesses = near(code or "")
        perhaps = f" Perhaps {' or '.join(guesses)}?" if guesses else ""
        note(f"rtm errors: {code} is no documented code.{perhaps} `rtm errors` lists them all.")
        return ExitCode.FAILURE
    if as_json:
        for meaning in found:
            emit(attrs.asdict(meaning))
    elif code is None:
        _list(found)
    else:
        for index, meaning in enumerate(found):
            if index:
                say("")
            _show(meaning)
    return ExitCode.OK


def _show(meaning: Meaning) -> None:
    also = f", also {', '.join(meaning.aliases)}" if meaning.aliases else ""
    raised = f" -> {meaning.error}" if meaning.error else ""
    say(f"{meaning.number} {meaning.family}.{meaning.name}{also}{raised}")
    say(f"    {meaning.about}")
    _part("What it means:", meaning.means)
    _part("Why it happens:", meaning.why)
    _part("What to do:", meaning.advice)


def _part(title: str, text: str) -> None:
    line = f"    {title:16}{text}"
    if sys.stdout.isatty():
        line = textwrap.fill(line, shutil.get_terminal_size().columns, subsequent_indent=" " * 20)
    say(line)


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
