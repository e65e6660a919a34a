"""Runs the Python blocks of a page, one after another in one name space, and compares what they print."""

import contextlib
import io
from pathlib import Path
from typing import Any

from tests.docs.pages import Block, blocks


def printed_by(block: Block, names: dict[str, Any], changes: dict[str, str]) -> str:
    """Run a block.

    Args:
        block: The code.
        names: The name space that it runs in and adds to.
        changes: What to write in the place of what, such as the port of a server.

    Returns:
        What it printed, on whatever thread.
    """
    code = block.code
    for old, new in changes.items():
        code = code.replace(old, new)
    output = io.StringIO()
    # Empty lines in front make the lines of a traceback those of the page.
    compiled = compile("\n" * (block.line - 1) + code, block.page, "exec")
    with contextlib.redirect_stdout(output):
        exec(compiled, names)
    return output.getvalue()


def run_page(path: Path, names: dict[str, Any], changes: dict[str, str]) -> None:
    """Run all Python blocks of a page. A block of text behind one is exactly what it prints."""
    on_page = [block for block in blocks(path) if block.info in ("python", "text")]
    assert on_page[0].info == "python"
    for block, following in zip(on_page, [*on_page[1:], None], strict=True):
        if block.info == "python":
            expected = following.code if following is not None and following.info == "text" else ""
            printed = printed_by(block, names, changes)
            assert printed == expected, f"{block} printed {printed!r}"
