"""What the visitors write: rows numbered by the database in the order in which they came."""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection


class Written(NamedTuple):
    """What has been written so far."""

    rows: int
    last: int


def make_table() -> None:
    """Make the table of the rows."""
    number = (
        "bigserial PRIMARY KEY"
        if connection.vendor == "postgresql"
        else "integer PRIMARY KEY AUTOINCREMENT"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE stamp (id {number}, note text NOT NULL)")


def stamp(note: str) -> None:
    """Write a row."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO stamp (note) VALUES (%s)", [note])


def written() -> Written:
    """How many rows there are, and the number of the last."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), coalesce(max(id), 0) FROM stamp")
        return Written(*cursor.fetchone())


def notes() -> list[str]:
    """The notes of all rows, in their order."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT note FROM stamp ORDER BY id")
        return [note for (note,) in cursor.fetchall()]
