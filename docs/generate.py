"""Write the pages that are made from the code: codes, errors, limits, the state diagrams and the timelines.

They are checked in, so that they can be read without building anything. A test compares them with what this
program would write.

Usage: python -m docs.generate
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum, IntEnum, IntFlag
from functools import partial
from pathlib import Path

from docs import apimap, timelines
from rtmcore import codes, errors, limits
from rtmcore.connection.diagram import mermaid, rows
from rtmcore.connection.machines import MACHINES, Machine
from rtmcore.explanations.lookup import FAMILIES, explanation

DOCS = Path(__file__).resolve().parent
MADE_FROM = "<!-- Made from {} by docs/generate.py; do not edit. -->"
SECTION = re.compile(r"# --- (.+?) -+$")
HEX = {codes.LogFilter, codes.AreaCode}


# --- Reading the sources ----------------------------------------------------------------------------------------


def enumerations() -> Iterator[tuple[str, type[Enum]]]:
    """Each enumeration of `rtmcore.codes`, in its order, with the heading that it stands under."""
    heading = ""
    for line in inspect.getsource(codes).splitlines():
        if found := SECTION.match(line):
            heading = found[1]
        elif found := re.match(r"class (\w+)\(", line):
            yield heading, getattr(codes, found[1])


def notes(family: type[Enum]) -> dict[str, str]:
    """The comment behind each member that has one."""
    found = {}
    for line in inspect.getsource(family).splitlines():
        if match := re.match(r"    ([A-Z_0-9]+) = [^#]+#\s*(.+)$", line):
            found[match[1]] = match[2]
    return found


def members(family: type[Enum]) -> list[Enum]:
    """Each member once. Iterating a flag leaves out its combined members, on some versions of Python."""
    return [member for name, member in family.__members__.items() if name == member.name]


def aliases(family: type[Enum]) -> dict[str, list[str]]:
    """The further names of each member that has some."""
    found: dict[str, list[str]] = {}
    for name, member in family.__members__.items():
        if name != member.name:
            found.setdefault(member.name, []).append(name)
    return found


def figures() -> Iterator[tuple[str, str, str, object]]:
    """Heading, name, comment and value of each figure of `rtmcore.limits`, in their order."""
    heading, comment = "", ""
    for line in inspect.getsource(limits).splitlines():
        if found := SECTION.match(line):
            heading = found[1]
        elif line.startswith("#:"):
            comment = f"{comment} {line[2:].strip()}".strip()
        elif comment and (found := re.match(r"([A-Z_0-9]+): Final", line)):
            yield heading, found[1], comment, getattr(limits, found[1])
            comment = ""


# --- Words ------------------------------------------------------------------------------------------------------


def summary(kind: type) -> str:
    """The docstring's first paragraph, on one line, in Markdown."""
    first, _, _ = (inspect.getdoc(kind) or "").partition("\n\n")
    return " ".join(first.split()).replace("``", "`")


def number(member: Enum) -> str:
    """A member's value as the documents write it."""
    if type(member) in HEX:
        return f"0x{member.value:X}"
    return str(member.value) if isinstance(member, IntEnum | IntFlag) else f"`{member.value}`"


def amount(value: object) -> str:
    """A figure for people: thousands apart, and no fraction that says nothing."""
    if isinstance(value, limits.RateLimit):
        return f"{value.count:,} in {value.seconds:g} s"
    if isinstance(value, frozenset):
        return f"{len(value)} characters"
    if isinstance(value, tuple):
        return ", ".join(amount(one) for one in value)
    if isinstance(value, float):
        return f"{value:,g}" if value < 1e6 else f"{value:,.0f}"
    return f"{value:,}"


def table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [f"| {' | '.join(titles)} |", f"|{'|'.join('---' for _ in titles)}|"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def remark(family: type[Enum], member: Enum) -> str:
    """What is to be said about a member: its comment and its other names."""
    other = [
        f"also `{name}`: {notes(family).get(name, 'another name')}"
        for name in aliases(family).get(member.name, ())
    ]
    return "; ".join([notes(family).get(member.name, ""), *other]).strip("; ")


# --- Pages ------------------------------------------------------------------------------------------------------


def codes_page() -> str:
    """docs/reference/codes.md: every enumeration that is not a family of errors."""
    lines = [
        "# Codes",
        "",
        MADE_FROM.format("rtmcore/codes.py and rtmcore/explanations"),
        "",
        "States, reasons and kinds, in `rtmcore.codes`. The numbers are the documented ones and go over the wire",
        "and into logs unchanged. The codes of failed calls have [a page of their own](errors.md).",
    ]
    last = ""
    for heading, family in enumerations():
        if family in errors.ERROR_FAMILIES:
            continue
        if heading != last:
            lines += ["", f"## {heading}"]
            last = heading
        lines += ["", f"### {family.__name__}", "", summary(family), ""]
        if family in FAMILIES:
            lines += explained(family)
            continue
        rows = [(number(member), f"`{member.name}`", remark(family, member)) for member in members(family)]
        lines += table(("Value", "Name", "Note"), rows)
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """docs/reference/errors.md: the exception of every error code, and every exception."""
    lines = [
        "# Errors",
        "",
        MADE_FROM.format("rtmcore/codes.py, rtmcore/errors.py and rtmcore/explanations"),
        "",
        "Every failed call raises a subclass of `RtmError`. The class says what you can do about it. `error.code` has",
        "the documented code, a member of the operation's enumeration, because the same number means different things",
        "in different operations.",
        "",
        "```python",
        "from rtmcore.codes import JoinChannelError",
        "from rtmcore.errors import LimitExceeded",
        "",
        "try:",
        "    channel.join()",
        "except LimitExceeded as error:",
        "    assert error.code is JoinChannelError.EXCEED_LIMIT",
        "    print(error)  # what happened, in which operation and state, and what to do",
        "```",
        "",
        "## What to do",
        "",
        *exceptions(),
        "",
        "## From code to class",
        "",
        "0 is OK in every family and raises nothing, and so does `CACHED_BY_SERVER`. `PEER_UNREACHABLE` of a send is",
        "a result of `send_peer`; an exception stands for it where a result cannot. `rtm errors CODE` prints what is",
        "said here. Figures are the documented ones; a server that has others tells them at the login.",
    ]
    for family in errors.ERROR_FAMILIES:
        lines += ["", f"### {family.__name__}", "", summary(family), "", *explained(family, raised_as)]
    lines += ["", "## The classes", "", "```{eval-rst}", ".. automodule:: rtmcore.errors", "   :members:"]
    lines += ["   :show-inheritance:", "```", ""]
    return "\n".join(lines)


def raised_as(member: Enum) -> str:
    """The exception that stands for a code; empty for a result."""
    assert isinstance(member, IntEnum)
    try:
        return f"`{errors.error_class(member).__name__}`"
    except ValueError:
        return ""


def explained(family: type[Enum], kind: Callable[[Enum], str] | None = None) -> list[str]:
    """The table of a family with what each code means, why it happens and what to do."""
    rows = []
    for member in members(family):
        assert isinstance(member, IntEnum)
        said = explanation(member)
        name = "<br>".join(
            [f"`{member.name}`", *([remark(family, member)] if remark(family, member) else [])]
        )
        raised = [] if kind is None else [kind(member)]
        rows.append((number(member), name, *raised, said.means, said.why, said.advice))
    titles = (
        "Code",
        "Name",
        *(() if kind is None else ("Class",)),
        "What it means",
        "Why it happens",
        "What to do",
    )
    return table(titles, rows)


def exceptions() -> list[str]:
    """The tree of exceptions as a nested list."""

    def branch(kind: type[errors.RtmError], depth: int) -> Iterator[str]:
        yield f"{'  ' * depth}- `{kind.__name__}`: {summary(kind)}"
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from branch(child, depth + 1)

    return list(branch(errors.RtmError, 0))


def limits_page() -> str:
    """docs/reference/limits.md: every figure with its unit and source."""
    lines = [
        "# Limits",
        "",
        MADE_FROM.format("rtmcore/limits.py"),
        "",
        "Every size, count, rate and timeout of the system. 1 KB is 1,024 bytes. The source stands in brackets:",
        "",
        "- *seed 000* to *seed 004* are the documents that the project was built from: RTM for the Web, Agora Native",
        "  RTC, Twilio Video, MDN's peer connection states, RTM for Objective-C;",
        "- *documented* is another public page of the same vendors;",
        "- *design* is the project's own decision, where the documents name no figure.",
        "",
        "A server may be set to other sizes, counts and rates. Its welcome [tells them](../protocol/limits.md), and",
        "clients keep them from then on: before they send, and with the same codes.",
    ]
    rows: list[tuple[str, ...]] = []
    last = ""
    for heading, name, comment, value in figures():
        if heading != last:
            lines += [*titled(rows), "", f"## {heading}", ""]
            rows, last = [], heading
        rows.append((f"`{name}`", amount(value), comment.replace("``", "`")))
    return "\n".join([*lines, *titled(rows)]) + "\n"


def titled(rows: list[tuple[str, ...]]) -> list[str]:
    """The table of a section of limits; nothing where there are no rows yet."""
    return table(("Name", "Figure", "What it is"), rows) if rows else []


# --- State diagrams ---------------------------------------------------------------------------------------------

#: Where the middle of each place is.
LEFT, TOP, RIGHT, LOW_RIGHT, LOW = (130, 230), (390, 70), (720, 70), (720, 390), (390, 390)
FAR_RIGHT, CENTER, LOW_LEFT = (720, 230), (425, 230), (130, 390)
WIDTH, HEIGHT, BOX = 850, 460, (150, 44)
BEND = 40


#: Where each state of a machine is drawn.
PLACES: dict[str, dict[str, tuple[int, int]]] = {
    "rtm": {
        "DISCONNECTED": LEFT,
        "CONNECTING": TOP,
        "CONNECTED": RIGHT,
        "RECONNECTING": LOW_RIGHT,
        "ABORTED": LOW,
    },
    "rtc": {
        "DISCONNECTED": LEFT,
        "CONNECTING": TOP,
        "CONNECTED": RIGHT,
        "RECONNECTING": LOW_RIGHT,
        "FAILED": LOW,
    },
    "room": {
        "NEW": LEFT,
        "CONNECTING": TOP,
        "CONNECTED": RIGHT,
        "RECONNECTING": LOW_RIGHT,
        "DISCONNECTED": LOW,
    },
    "room-state": {"CONNECTED": LEFT, "RECONNECTING": RIGHT, "DISCONNECTED": LOW_RIGHT},
    "room-participant": {"CONNECTED": LEFT, "RECONNECTING": RIGHT, "DISCONNECTED": LOW_RIGHT},
    "invitation-local": {
        "IDLE": LEFT,
        "SENT_TO_REMOTE": TOP,
        "RECEIVED_BY_REMOTE": CENTER,
        "ACCEPTED_BY_REMOTE": RIGHT,
        "REFUSED_BY_REMOTE": FAR_RIGHT,
        "CANCELED": LOW_RIGHT,
        "FAILURE": LOW,
    },
    "invitation-remote": {
        "IDLE": LEFT,
        "INVITATION_RECEIVED": TOP,
        "ACCEPT_SENT_TO_LOCAL": CENTER,
        "ACCEPTED": FAR_RIGHT,
        "REFUSED": RIGHT,
        "CANCELED": LOW_RIGHT,
        "FAILURE": LOW,
    },
}


def arrows(machine: Machine) -> dict[tuple[str, str], list[str]]:
    """The changes of state: from where to where, and by what, in the order of the table."""
    found: dict[tuple[str, str], list[str]] = {}
    for source, given, effect, target in rows(machine.table):
        if source != target:
            reason = machine.reason(effect)
            found.setdefault((source, target), []).append(f"{given}: {reason}" if reason else given)
    return found


def edge_of_box(middle: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
    """Where a line from the middle of a box to another point leaves the box."""
    (x, y), (dx, dy) = middle, (towards[0] - middle[0], towards[1] - middle[1])
    scale = min((BOX[0] / 2 + 4) / abs(dx) if dx else 1e9, (BOX[1] / 2 + 4) / abs(dy) if dy else 1e9)
    return x + dx * scale, y + dy * scale


def arrow_parts(machine: Machine, places: dict[str, tuple[int, int]]) -> tuple[list[str], list[str]]:
    """The lines of the numbered arrows, and their numbers."""
    lines, badges = [], []
    changes = arrows(machine)
    for index, (source, target) in enumerate(changes, 1):
        (x1, y1), (x2, y2) = places[source], places[target]
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        bend = BEND if (target, source) in changes else 0
        middle = ((x1 + x2) / 2 + bend * (y2 - y1) / length, (y1 + y2) / 2 - bend * (x2 - x1) / length)
        start, end = edge_of_box((x1, y1), middle), edge_of_box((x2, y2), middle)
        lines.append(
            f'  <path d="M{start[0]:.0f},{start[1]:.0f} Q{middle[0]:.0f},{middle[1]:.0f} {end[0]:.0f},{end[1]:.0f}"'
            ' fill="none" stroke="#446" stroke-width="1.6" marker-end="url(#tip)"/>'
        )
        # A third of the way along, where no two arrows of these places cross.
        x, y = (4 * a / 9 + 4 * b / 9 + c / 9 for a, b, c in zip(start, middle, end, strict=True))
        badges += [
            f'  <circle cx="{x:.0f}" cy="{y:.0f}" r="12" fill="#fff" stroke="#446"/>',
            f'  <text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" fill="#223">{index}</text>',
        ]
    return lines, badges


def svg(name: str) -> str:
    """A drawing: the states as boxes, and numbered arrows between them."""
    machine, places = MACHINES[name], PLACES[name]
    lines, badges = arrow_parts(machine, places)
    boxes = []
    for name, (x, y) in places.items():
        boxes += [
            f'  <rect x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="10"'
            ' fill="#eef2fb" stroke="#446" stroke-width="1.6"/>',
            f'  <text x="{x}" y="{y + 5}" text-anchor="middle" fill="#223">{name}</text>',
        ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
            f'     font-family="sans-serif" font-size="15" role="img" aria-label="{machine.title}: its states">',
            f"  <!-- Made from {machine.source} by docs/generate.py; do not edit. -->",
            '  <defs><marker id="tip" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">'
            '<path d="M0,0 L9,4 L0,8 z" fill="#446"/></marker></defs>',
            f'  <rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
            *lines,
            *boxes,
            *badges,
            "</svg>",
            "",
        ]
    )


def diagram_page(name: str) -> str:
    """The page of a diagram: the drawing, what the arrows mean, and every rule."""
    machine = MACHINES[name]
    changes = [
        (str(index), source, target, "<br>".join(labels))
        for index, ((source, target), labels) in enumerate(arrows(machine).items(), 1)
    ]
    stays = [
        (source, given, f"{effect} ({machine.reason(effect)})" if machine.reason(effect) else effect)
        for source, given, effect, target in rows(machine.table)
        if source == target
    ]
    return "\n".join(
        [
            f"# {machine.title}",
            "",
            MADE_FROM.format(machine.source),
            "",
            "<!-- diagram -->",
            f"![States and the arrows between them]({name}.svg)",
            "",
            *table(("Arrow", "From", "To", "When, and with which reason"), changes),
            "",
            "These leave the state as it is:",
            "",
            *table(("In", "What happens", "What the client does"), stays),
            "",
            "<!-- end of diagram -->",
            "## For Mermaid",
            "",
            "```text",
            mermaid(machine.table).rstrip(),
            "```",
            "",
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    **{f"diagrams/{name}.md": partial(diagram_page, name) for name in MACHINES},
    **{f"diagrams/{name}.svg": partial(svg, name) for name in MACHINES},
    "reference/api-map.md": apimap.map_page,
    "reference/codes.md": codes_page,
    "reference/errors.md": errors_page,
    "reference/limits.md": limits_page,
    **timelines.pages(),
}


def assigned_without_comment() -> list[str]:
    """Public figures of `rtmcore.limits` that the page would leave out."""
    tree = ast.parse(inspect.getsource(limits))
    named = {name for _, name, _, _ in figures()}
    return [
        node.target.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id not in named
    ]


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
