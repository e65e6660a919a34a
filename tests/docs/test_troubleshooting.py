"""The page names codes that exist, and beside each the error that is raised with it."""

import re
from enum import Enum, IntEnum

import pytest

import rtmsync
from rtmcore import codes
from rtmcore.errors import Aborted, RtmError, error_class
from tests.docs.pages import page, tables

ROWS = [row for table in tables(page("howto/troubleshooting.md")) for row in table if "Code" in row]


def named(cell: str) -> list[Enum]:
    found = []
    for family, member in re.findall(r"`(\w+)\.(\w+)`", cell):
        found.append(getattr(codes, family)[member])
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['What you see']} {row['Code']}".replace("`", ""))
def test_codes_and_errors_belong_together(row: dict[str, str]) -> None:
    for name in re.findall(r"`([A-Z]\w+)`", row["What you see"]):
        seen = getattr(rtmsync, name)
        if not issubclass(seen, RtmError):
            continue
        for code in named(row["Code"]):
            assert isinstance(code, IntEnum)
            # A call in the state ABORTED has the code of one without a login, and an error of its own.
            assert seen in (error_class(code), Aborted)


def test_there_are_enough() -> None:
    assert len([code for row in ROWS for code in named(row["Code"])]) > 20
