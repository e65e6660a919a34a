"""The lines of a file, made fit to be sent as messages."""

from pathlib import Path

import attrs

PIECE = 1000
"""Characters that one message gets; longer lines become several messages."""

READ_MOST = 8 * 1024 * 1024
"""Bytes read from a file; what is behind them is never reached anyway."""


class NothingToSend(Exception):
    """The file cannot be read, or has no line that is not blank."""


@attrs.frozen
class Text:
    """What is to be sent.

    Args:
        name: Of the file.
        lines: In order; none is blank.
        left_out: Lines at the end that are not sent.
        blank: Blank lines that are left out.
        complete: Whether the file was read to its end.
    """

    name: str
    lines: list[str]
    left_out: int
    blank: int
    complete: bool

    def describe(self) -> str:
        """What of the file is sent, in a sentence."""
        said = [f"{self.name}: {counted(len(self.lines))}"]
        if self.blank:
            said.append(f"blank lines are left out ({self.blank})")
        if self.left_out:
            more = "" if self.complete else "more than "
            said.append(f"CUT: {more}{self.left_out} further lines do not fit into 20 seconds")
        return ", ".join(said) + "."


def read_text(path: Path, most: int) -> Text:
    """Read a file of any content; bytes that are not UTF-8 become U+FFFD.

    Args:
        path: The file.
        most: Lines wanted at most.

    Raises:
        NothingToSend: It cannot be read, or has only blank lines.
    """
    try:
        with path.open("rb") as file:
            data = file.read(READ_MOST)
            complete = not file.read(1)
    except OSError as error:
        raise NothingToSend(f"{path} cannot be read: {error.strerror}.") from None
    lines, blank = [], 0
    whole = data.decode("utf-8", "replace").removeprefix("\ufeff")
    for line in whole.split("\n"):
        text = line.rstrip("\r")
        if text.strip():
            lines += [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
        else:
            blank += 1
    if whole.endswith("\n") or not whole:
        blank -= 1
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise NothingToSend(f"{path} has no line to send.")
    return Text(path.name, lines[:most], max(0, len(lines) - most), blank, complete)


def in_three(lines: list[str], during: int) -> tuple[list[str], list[str], list[str]]:
    """Divide lines into those before, during and after the interruption.

    Args:
        lines: All of them.
        during: How many pass during the interruption at most; a third of them if they are few.
    """
    middle = min(during, -(-len(lines) // 3))
    first = (len(lines) - middle) // 2
    return lines[:first], lines[first : first + middle], lines[first + middle :]


def counted(lines: int) -> str:
    """A number of lines in words."""
    return f"{lines} line{'' if lines == 1 else 's'}"
