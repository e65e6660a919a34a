"""The map of names leads from the documents' names to names that exist."""

import importlib
import re
from enum import Enum
from functools import reduce

import pytest

import rtmsync
from rtmcore import codes
from tests.docs.pages import DOCS, page, tables

TABLES = list(tables(page("reference/api-map.md")))
CODES = [row for rows in TABLES for row in rows if "Value" in row]
NAMES = [row for rows in TABLES for row in rows if "Test" in row]
NOT_YET = "*not yet*"
NOT_APPLICABLE = "not applicable: "


def python_names(row: dict[str, str]) -> list[str]:
    return re.findall(r"`([A-Za-z_.]+)(?:\([^`]*)?`", row["Python"])


@pytest.mark.parametrize("row", CODES, ids=lambda row: row["Seed"].strip("`"))
def test_a_code_has_the_documented_number(row: dict[str, str]) -> None:
    (name,) = python_names(row)
    family, _, member = name.partition(".")
    found = getattr(codes, family)[member]
    assert isinstance(found, Enum)
    value = row["Value"].strip("`")
    assert found.value == (value if isinstance(found.value, str) else int(value, 0))


@pytest.mark.parametrize(
    "row", [row for row in NAMES if NOT_YET not in row["Python"]], ids=lambda row: row["Seed"].strip("`")
)
def test_a_name_exists_and_so_does_its_test(row: dict[str, str]) -> None:
    for name in python_names(row):
        first, *rest = name.split(".")
        if name in ("str", "bytes", "count"):
            continue
        if first in ("rtmsync", "rtmcore"):
            start: object = importlib.import_module(first)
        elif first == "send_peer":
            start = rtmsync.Client.send_peer
        else:
            start = getattr(rtmsync, first)
        reduce(getattr, rest, start)
    for test in re.findall(r"`([\w/.:]+)`", row["Test"]):
        path, _, function = test.partition("::")
        assert f"def {function}" in (DOCS.parent / path).read_text(encoding="utf-8")


def test_every_row_says_something() -> None:
    assert all(row["Seed"] and row["Python"] for row in CODES + NAMES)
    assert all(
        row["Test"]
        for row in NAMES
        if not any(words in row["Python"] for words in (NOT_YET, "not needed", NOT_APPLICABLE))
    )
