"""Reads the documentation's Markdown: code blocks, tables and headings."""

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

DOCS = Path(__file__).resolve().parents[2] / "docs"

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:-]+")


@attrs.frozen
class Block:
    """A fenced block of code.

    Attributes:
        page: The file, relative to the project.
        line: Where its code begins.
        info: What follows the opening fence, for example ``json`` or ``{toctree}``.
        code: The lines inside.
    """

    page: str
    line: int
    info: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@attrs.frozen
class Section:
    """A heading and what stands under it, up to the next heading."""

    level: int
    title: str
    text: str


def page(name: str) -> str:
    """The text of a page.

    Args:
        name: Relative to docs/, for example ``protocol/packets.md``.
    """
    return (DOCS / name).read_text(encoding="utf-8")


def pages(folder: str = "") -> list[Path]:
    """All Markdown pages in a folder of docs/ and below, without what was built."""
    found = sorted((DOCS / folder).rglob("*.md"))
    return [path for path in found if "_build" not in path.parts]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(DOCS.parent).as_posix()
    return [
        Block(name, text.count("\n", 0, match.start("code")) + 1, match["info"].strip(), match["code"])
        for match in _FENCE.finditer(text)
    ]


def sections(text: str) -> list[Section]:
    """The sections of a page, in order. Headings inside code are none."""
    plain = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    headings = list(re.finditer(r"^(#+) (.+)$", plain, re.MULTILINE))
    ends = [heading.start() for heading in headings[1:]] + [len(plain)]
    return [
        Section(len(heading[1]), heading[2].strip(), plain[heading.end() : end])
        for heading, end in zip(headings, ends, strict=True)
    ]


def section(text: str, title: str) -> Section:
    """The one section with this title."""
    (found,) = [one for one in sections(text) if one.title == title]
    return found


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """Each table of a text, as rows by column title."""
    lines: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip())[1:-1]]
            lines.append(cells)
        elif lines:
            titles, *rows = lines
            yield [dict(zip(titles, row, strict=True)) for row in rows if not _RULE.fullmatch("|".join(row))]
            lines = []


def table(text: str) -> list[dict[str, str]]:
    """The only table of a text."""
    (found,) = tables(text)
    return found
