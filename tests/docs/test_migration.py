"""The table of old and new calls: the old ones are those of the documents, the new ones exist."""

import re

import pytest

from tests.docs.pages import page, tables
from tests.docs.test_map import python_names, quoted, resolve

CALLS = [row for table in tables(page("howto/migration.md")) for row in table]
MAP = page("reference/api-map.md")


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row["Here"].replace("`", ""))
def test_old_and_new_calls_exist(row: dict[str, str]) -> None:
    *old, new = row.values()
    names = python_names(new) + re.findall(r"`(?:client|channel)\.on\((\w+)\)`", new)
    for name in names:
        if not name.startswith(("client.", "channel.")):
            resolve(name)
    assert names or "=" in new or new.startswith(("a ", "call ", "not needed"))
    for name in [name for cell in old for name in quoted(cell)]:
        assert f"`{name}`" in MAP, f"{name} is in no document"


def test_there_are_enough() -> None:
    assert len(CALLS) > 50
