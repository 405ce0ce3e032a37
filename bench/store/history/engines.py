"""Where a history is: a file of SQLite, or a team's PostgreSQL."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ...errors import HistoryError

WAIT_S = 30.0
"""How long one that writes waits for another."""

# A name stands for two addresses as a rule, each of which is tried for so long.
CONNECT_S = 4


def is_url(named: str) -> bool:
    """Return whether a history is named by a URL, or by what is one mistyped.

    It may hold a password, which a file's name would tell.
    """
    return re.search(r"://|^postgres\w*:|password=", named) is not None


def open_sqlite(path: Path, *, to_read: bool) -> sql.Engine:
    """Return the engine of a file.

    Args:
        to_read: whether a file that may only be read will do.
    """
    # Without an isolation level Python begins no transaction: History begins its own.
    options = _read_only(path) if to_read else ""
    arguments: dict[str, Any] = {"timeout": WAIT_S, "isolation_level": None}

    def connect() -> sqlite3.Connection:
        if options:
            return sqlite3.connect(path.absolute().as_uri() + options, uri=True, **arguments)
        return sqlite3.connect(path, **arguments)

    return sql.create_engine(
        sql.URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        creator=connect,
    )


def _read_only(path: Path) -> str:
    """Return how SQLite is to open a file that may not be written; nothing where it may be."""
    is_fixed = not os.access(path.parent, os.W_OK)
    if not path.is_file() or not (is_fixed or not os.access(path, os.W_OK)):
        return ""
    # Reading too it makes files beside its own, unless that never changes: as long as nothing
    # waits in the log to be put into it.
    has_log = path.with_name(f"{path.name}-wal").exists()
    return "?mode=ro&immutable=1" if is_fixed and not has_log else "?mode=ro"


def open_postgresql(text: str) -> sql.Engine:
    """Return the engine of a URL. Raises: HistoryError without the password."""
    # An unescaped @ cuts the password in two, and what follows it would be told as the host.
    if text.count("@") > 1:
        raise HistoryError(
            "The history's URL cannot be read: it has more than one @. Write %40 for the one in "
            "the password."
        )
    try:
        url = sql.make_url(text)
    except (SQLAlchemyError, ValueError):
        raise HistoryError(
            "The history's URL cannot be read. Expected postgresql://user@host/database."
        ) from None
    if url.get_backend_name() != "postgresql":
        raise HistoryError(
            f"The history cannot be in {url.get_backend_name()}: a file's path or a "
            "postgresql:// URL is expected."
        )
    try:
        return sql.create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={"connect_timeout": CONNECT_S, "client_encoding": "utf8"},
        )
    except ImportError as error:
        raise HistoryError(
            "The history's PostgreSQL needs a driver: pip install 'vaebench[postgres]'."
        ) from error
