"""The history: every run's timings and mean scores, in SQLite or a team's PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import platformdirs
import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from .change_points import change_points
from .errors import HistoryError
from .measurements import Measurement, environments_of, measurements_of
from .store import TREND_COLUMNS, StoredRun

HISTORY_VERSION = 1
OFF = "off"
TREND_LENGTH = 200
"""How far back the trend of a run's cells goes: as many measurements of each."""

_WAIT_S = 30.0
_CONNECT_S = 5
_SCHEMA_LOCK = 0x7661_6562
_TABLES = sql.MetaData()
_META = sql.Table("vaebench_history", _TABLES, sql.Column("version", sql.Integer, primary_key=True))
_ENVIRONMENTS = sql.Table(
    "environments",
    _TABLES,
    sql.Column("fingerprint", sql.String(12), primary_key=True),
    sql.Column("environment", sql.JSON, nullable=False),
)
_MEASUREMENTS = sql.Table(
    "measurements",
    _TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("kind", sql.String(8), nullable=False),
    sql.Column("run_id", sql.Text, nullable=False),
    sql.Column("created", sql.String(32), nullable=False),
    sql.Column("commit", sql.String(64)),
    sql.Column("fingerprint", sql.ForeignKey("environments.fingerprint"), nullable=False),
    sql.Column("codec", sql.Text, nullable=False),
    sql.Column("cell", sql.Text, nullable=False, index=True),
    sql.Column("measure", sql.Text, nullable=False),
    sql.Column("unit", sql.String(16), nullable=False),
    sql.Column("value", sql.Float(53)),
    sql.Column("higher_is_better", sql.Boolean),
    sql.Column("samples", sql.JSON),
    sql.Column("extra", sql.JSON, nullable=False),
    sql.UniqueConstraint("run_id", "cell", "measure"),
)


def open_history(where: str | None = None) -> History | None:
    """Open the history, and lay it out where it is new.

    Args:
        where: a file, a postgresql:// URL, or `off`; None for $VAEBENCH_HISTORY, else a file in
            the user's data folder.
    Returns: None where it is off.
    Raises: HistoryError where it cannot be reached, or is none.
    """
    named = where or os.environ.get("VAEBENCH_HISTORY") or None
    if named == OFF:
        return None
    if named is not None and "://" in named:
        return History(_postgresql(named))
    path = Path(named) if named else platformdirs.user_data_path("vaebench") / "history.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryError(
            f"Cannot make the folder of the history {path}: {error.strerror}. Pass --history PATH."
        ) from error
    return History(_sqlite(path))


def _sqlite(path: Path) -> sql.Engine:
    url = sql.URL.create("sqlite", database=str(path))
    engine = sql.create_engine(url, connect_args={"timeout": _WAIT_S})

    # Python's own transactions begin with the first write; ours begin with the lock, so that
    # writers queue instead of failing when two of them have read before they write.
    @event.listens_for(engine, "connect")
    def no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def take_the_lock(connection: sql.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    # Used by the events above alone.
    del no_implicit_begin, take_the_lock
    return engine


def _postgresql(text: str) -> sql.Engine:
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
            url.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": _CONNECT_S}
        )
    except ImportError as error:
        raise HistoryError(
            "The history's PostgreSQL needs a driver: pip install 'vaebench[postgres]'."
        ) from error


class History:
    """An open history; several processes may write into one at the same time."""

    def __init__(self, engine: sql.Engine) -> None:
        self._engine = engine
        with self._begin() as connection:
            if engine.dialect.name == "postgresql":
                # CREATE TABLE IF NOT EXISTS fails where two sessions do it at once.
                lock = sql.select(sql.func.pg_advisory_xact_lock(_SCHEMA_LOCK))
                connection.execute(lock)
            _TABLES.create_all(connection)
            version = connection.scalar(sql.select(_META.c.version))
            if version is None:
                connection.execute(sql.insert(_META).values(version=HISTORY_VERSION))
        if version is not None and version > HISTORY_VERSION:
            raise HistoryError(
                f"The history {self.name} has version {version}, this vaebench reads up to "
                f"{HISTORY_VERSION}. Install a newer vaebench."
            )

    @property
    def name(self) -> str:
        """Where the history is, without a password."""
        url = self._engine.url
        if self._engine.dialect.name == "sqlite":
            return str(url.database)
        return url.render_as_string(hide_password=True)

    def add(
        self, environments: Mapping[str, Mapping[str, Any]], rows: Sequence[Measurement]
    ) -> None:
        """Add measurements in one transaction; what a run has already told is left as it is.

        Args:
            environments: what each fingerprint of the rows stands for.
        Raises: HistoryError.
        """
        if not rows:
            return
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        told = [
            {"fingerprint": key, "environment": dict(value)}
            for key, value in sorted(environments.items())
        ]
        with self._begin() as connection:
            connection.execute(insert(_ENVIRONMENTS).on_conflict_do_nothing(), told)
            connection.execute(
                insert(_MEASUREMENTS).on_conflict_do_nothing(), [row.to_dict() for row in rows]
            )

    def read(
        self, codec: str | None = None, cell: str | None = None, last: int | None = None
    ) -> pd.DataFrame:
        """Return the measurements, oldest first: the fields of Measurement and `environment`.

        Args:
            last: at most so many of each cell and measure, the newest.
        Raises: HistoryError.
        """
        query = sql.select(_MEASUREMENTS, _ENVIRONMENTS.c.environment).join(_ENVIRONMENTS)
        if codec is not None:
            query = query.where(_MEASUREMENTS.c.codec == codec)
        if cell is not None:
            query = query.where(_MEASUREMENTS.c.cell == cell)
        query = query.order_by(_MEASUREMENTS.c.created, _MEASUREMENTS.c.id)
        with self._begin() as connection:
            found = connection.execute(query)
            # As objects, so that what is absent stays None.
            frame = pd.DataFrame(
                found.mappings().all(), columns=pd.Index(found.keys()), dtype=object
            )
        frame["value"] = frame["value"].astype("float64")
        if last is not None:
            frame = frame.groupby(["cell", "measure"], sort=False).tail(last)
        return frame.drop(columns="id").reset_index(drop=True)

    @contextmanager
    def _begin(self) -> Generator[sql.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise HistoryError(
                f"Cannot use the history {self.name}: {reason}. Pass another --history, or off."
            ) from error


def record_run(run: StoredRun, history: History) -> None:
    """Put a run's timings and mean scores into the history; a second time changes nothing.

    Raises: HistoryError.
    """
    history.add(environments_of(run), measurements_of(run))


def trend_of(run: StoredRun, history: History) -> pd.DataFrame:
    """Return the past of a run's own cells, steps marked, as the columns TREND_COLUMNS.

    Raises: HistoryError.
    """
    own = {(row.cell, row.measure) for row in measurements_of(run)}
    parts = [history.read(cell=cell, last=TREND_LENGTH) for cell in sorted({c for c, _ in own})]
    if not parts:
        return pd.DataFrame(columns=pd.Index(TREND_COLUMNS))
    return trend(pd.concat(parts, ignore_index=True))


MAIN_MEASURES = ("p50_ms",)
"""Of a timing's measures, what a trend shows; of a score its one measure."""


def trend(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the main measure of each cell, steps marked, as the columns TREND_COLUMNS.

    `is_step` marks the first measurement of a new level. Only measurements under one fingerprint
    are compared: another environment is another series, not a step of the code.
    """
    main = (frame["kind"] == "score") | frame["measure"].isin(MAIN_MEASURES)
    chosen: Any = frame[main & frame["value"].notna()].reset_index(drop=True)
    chosen["is_step"] = False
    for _, group in chosen.groupby(["cell", "measure", "fingerprint"], sort=False):
        for place in change_points(group["value"].to_list()):
            chosen.loc[group.index[place], "is_step"] = True
    return chosen.reindex(columns=list(TREND_COLUMNS))
