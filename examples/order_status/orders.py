"""Orders, in SQLite. Each request and each handler has a connection of its own, closed by a teardown function."""

import sqlite3
from typing import Any

from flask import Flask, current_app, g

STATUSES = ("received", "in preparation", "ready", "collected", "cancelled")
NEXT = {"received": "in preparation", "in preparation": "ready", "ready": "collected"}

SCHEMA = """
create table if not exists orders (
    id integer primary key,
    customer text not null,
    dish text not null,
    status text not null default 'received',
    version integer not null default 1
);
create index if not exists orders_of_customer on orders (customer);
"""

Order = dict[str, Any]


class WrongStatus(Exception):
    """An order cannot become what it was to become."""


def init_app(app: Flask) -> None:
    """See that connections are closed, whatever a view or a handler did."""
    app.teardown_appcontext(close)


def database() -> sqlite3.Connection:
    """The connection of this request or handler."""
    if "database" not in g:
        g.database = sqlite3.connect(current_app.config["DATABASE"])
        g.database.row_factory = sqlite3.Row
    connection: sqlite3.Connection = g.database
    return connection


def close(error: BaseException | None = None) -> None:
    """Close it."""
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()


def create_tables() -> None:
    """Make what is not there yet."""
    with database() as connection:
        connection.executescript(SCHEMA)


def place(customer: str, dish: str) -> Order:
    """Take an order."""
    with database() as connection:
        cursor = connection.execute("insert into orders (customer, dish) values (?, ?)", (customer, dish))
    order = find(int(cursor.lastrowid or 0))
    assert order is not None
    return order


def find(number: int) -> Order | None:
    """One order, or None."""
    row = database().execute("select * from orders where id = ?", (number,)).fetchone()
    return None if row is None else dict(row)


def of_customer(customer: str) -> list[Order]:
    """A customer's orders, the newest first."""
    rows = database().execute("select * from orders where customer = ? order by id desc", (customer,))
    return [dict(row) for row in rows]


def open_orders() -> list[Order]:
    """What the desk has to do, the oldest first."""
    rows = database().execute(
        "select * from orders where status not in ('collected', 'cancelled') order by id"
    )
    return [dict(row) for row in rows]


def change(number: int, status: str, *, only_from: tuple[str, ...]) -> Order:
    """Give an order another status, and with it the next version: pages keep the newest.

    Raises:
        WrongStatus: There is no such order, or it has none of the statuses that this one may follow.
    """
    marks = ", ".join("?" * len(only_from))
    with database() as connection:
        changed = connection.execute(
            f"update orders set status = ?, version = version + 1 where id = ? and status in ({marks})",
            (status, number, *only_from),
        ).rowcount
    order = find(number)
    if not changed or order is None:
        raise WrongStatus(f"order {number} cannot become {status}")
    return order
