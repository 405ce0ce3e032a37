"""The history: every run's timings and mean scores, in SQLite or a team's PostgreSQL."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import platformdirs
import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ...errors import HistoryError, first_line
from ..run import StoredRun
from ..tables import TREND_COLUMNS
from .change_points import change_points
from .engines import is_url, open_postgresql, open_sqlite
from .measurements import Measurement, environments_of, measurements_of

HISTORY_VERSION = 1
OFF = "off"
TREND_LENGTH = 200
"""How far back the trend of a run's cells goes: as many measurements of each."""

MAIN_MEASURES = ("p50_ms",)
"""Of a timing's measures, what a trend shows; of a score its one measure."""

_WAL_TRIES, _WAL_PAUSE_S = 100, 0.03
_SCHEMA_LOCK = 0x7661_6562
_TABLES = sql.MetaData()


def _check(condition: str) -> Any:
    # SQLite takes any value in any column; PostgreSQL's own types say it all.
    return sql.CheckConstraint(condition).ddl_if(dialect="sqlite")


_META = sql.Table("vaebench_history", _TABLES, sql.Column("version", sql.Integer, primary_key=True))
_ENVIRONMENTS = sql.Table(
    "environments",
    _TABLES,
    sql.Column("fingerprint", sql.String(12), primary_key=True),
    sql.Column("environment", sql.JSON, nullable=False),
    _check("json_type(environment) = 'object'"),
)
_MEASUREMENTS = sql.Table(
    "measurements",
    _TABLES,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("kind", sql.Text, nullable=False),
    sql.Column("run_id", sql.Text, nullable=False),
    sql.Column("created", sql.Text, nullable=False),
    sql.Column("commit", sql.Text),
    sql.Column("fingerprint", sql.ForeignKey("environments.fingerprint"), nullable=False),
    sql.Column("codec", sql.Text, nullable=False),
    sql.Column("cell", sql.Text, nullable=False, index=True),
    sql.Column("measure", sql.Text, nullable=False),
    sql.Column("unit", sql.Text, nullable=False),
    sql.Column("value", sql.Float(53)),
    sql.Column("higher_is_better", sql.Boolean),
    sql.Column("samples", sql.JSON(none_as_null=True)),
    sql.Column("extra", sql.JSON, nullable=False),
    sql.UniqueConstraint("run_id", "cell", "measure"),
    _check("julianday(created) IS NOT NULL"),
    _check("typeof(value) IN ('real', 'null')"),
    _check("samples IS NULL OR json_type(samples) = 'array'"),
    _check("json_type(extra) = 'object'"),
)


def open_history(where: str | None = None, *, to_read: bool = False) -> History | None:
    """Open the history, and lay it out where it is new.

    Args:
        where: a file, a postgresql:// URL, or `off`; None for $VAEBENCH_HISTORY, else a file in
            the user's data folder.
        to_read: whether a file that may only be read will do.
    Returns: None where it is off.
    Raises: HistoryError where it cannot be reached, or is none.
    """
    named = where or os.environ.get("VAEBENCH_HISTORY") or None
    if named == OFF:
        return None
    if named is not None and is_url(named):
        return History(open_postgresql(named))
    path = Path(named) if named else platformdirs.user_data_path("vaebench") / "history.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryError(
            f"Cannot make the folder of the history {path}: {error.strerror}. Pass --history PATH."
        ) from error
    return History(open_sqlite(path, to_read=to_read))


class History:
    """An open history; several processes may write into one at the same time.

    It keeps no connection between two calls, so there is nothing to close.
    """

    def __init__(self, engine: sql.Engine) -> None:
        self._engine = engine
        with self._begin() as connection:
            version = self._version(connection)
        if version is None:
            version = self._lay_out()
        if version > HISTORY_VERSION:
            raise HistoryError(
                f"The history {self.name} has version {version}, this vaebench reads up to "
                f"{HISTORY_VERSION}. Install a newer vaebench."
            )

    @property
    def name(self) -> str:
        """Where the history is, without a password."""
        url = self._engine.url
        if self._is_sqlite:
            return str(url.database)
        # The options behind the ? may hold a password too.
        return url.set(query={}).render_as_string(hide_password=True)

    def add(
        self, environments: Mapping[str, Mapping[str, Any]], rows: Sequence[Measurement]
    ) -> None:
        """Add measurements in one transaction; what a run has already told is left as it is.

        Args:
            environments: what each fingerprint of the rows stands for.
        Raises: HistoryError; then none of them is added.
        """
        if not rows:
            return
        insert = sqlite.insert if self._is_sqlite else postgresql.insert
        told = [
            {"fingerprint": key, "environment": dict(value)}
            for key, value in sorted(environments.items())
        ]
        with self._begin(writes=True) as connection:
            connection.execute(insert(_ENVIRONMENTS).on_conflict_do_nothing(), told)
            connection.execute(
                insert(_MEASUREMENTS).on_conflict_do_nothing(), [row.to_dict() for row in rows]
            )

    def read(
        self,
        kind: Literal["timing", "score"] | None = None,
        codec: str | None = None,
        cell: str | None = None,
        last: int | None = None,
    ) -> pd.DataFrame:
        """Return the measurements, oldest first: the fields of Measurement and `environment`.

        Args:
            kind, codec, cell: those of this one alone.
            last: at most so many of each cell and measure, the newest.
        Raises: HistoryError.
        """
        wanted = {"kind": kind, "codec": codec, "cell": cell}
        columns = [column for column in _MEASUREMENTS.c if column.name != "id"]
        return self._select(
            [*columns, _ENVIRONMENTS.c.environment],
            [_MEASUREMENTS.c[name] == value for name, value in wanted.items() if value is not None],
            last,
        )

    def read_cells(self, cells: Sequence[str], last: int) -> pd.DataFrame:
        """Return what `trend` takes of some cells: the newest of each, oldest first.

        Raises: HistoryError.
        """
        names = ["kind", *TREND_COLUMNS[: TREND_COLUMNS.index("is_step")]]
        return self._select(
            [_MEASUREMENTS.c[name] for name in names], [_MEASUREMENTS.c.cell.in_(cells)], last
        )

    def _select(
        self,
        columns: Sequence[sql.ColumnElement[Any]],
        conditions: Sequence[sql.ColumnElement[bool]],
        last: int | None,
    ) -> pd.DataFrame:
        table = _MEASUREMENTS.c
        age = sql.func.row_number().over(
            partition_by=(table.cell, table.measure),
            order_by=(table.created.desc(), table.id.desc()),
        )
        known = _ENVIRONMENTS.c.fingerprint.label("_known")
        found = sql.select(*columns, known, table.id.label("_id"), age.label("_age"))
        joined = _MEASUREMENTS.outerjoin(_ENVIRONMENTS)
        found = found.select_from(joined).where(*conditions).subquery()
        query = sql.select(found).order_by(found.c.created, found.c["_id"])
        if last is not None:
            query = query.where(found.c["_age"] <= last)
        with self._begin() as connection:
            rows = connection.execute(query)
            names, read = list(rows.keys()), rows.mappings().all()
        # As objects, so that what is absent stays None.
        frame = pd.DataFrame(read, columns=pd.Index(names), dtype=object)
        try:
            frame["value"] = frame["value"].astype("float64")
            pd.to_datetime(frame["created"], format="ISO8601", utc=True)
        except (ValueError, TypeError) as error:
            raise self._damaged(first_line(error)) from error
        if None in frame["_known"].tolist():
            raise self._damaged("measurements lack their environment")
        return frame.drop(columns=["_known", "_id", "_age"])

    def _damaged(self, reason: str) -> HistoryError:
        return HistoryError(
            f"The history {self.name} is damaged: {reason}. Restore it, or pass another --history."
        )

    @property
    def _is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _version(self, connection: sql.Connection) -> int | None:
        """Return the layout's version, None where nothing is laid out.

        Raises: HistoryError where the tables are another program's.
        """
        # One look: between two of them another process may have laid it out.
        names = set(sql.inspect(connection).get_table_names())
        if _META.name in names:
            return connection.scalar(sql.select(_META.c.version))
        foreign = names if self._is_sqlite else names & set(_TABLES.tables)
        if foreign:
            raise HistoryError(
                f"{self.name} is no history of vaebench: it has the tables "
                f"{', '.join(sorted(foreign)[:3])}, but not {_META.name}. Pass another --history."
            )
        return None

    def _lay_out(self) -> int:
        """Make the tables, unless another process has made them by now; return their version."""
        with self._begin(writes=True) as connection:
            if not self._is_sqlite:
                # CREATE TABLE IF NOT EXISTS fails where two sessions do it at once.
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            version = self._version(connection)
            if version is None:
                _TABLES.create_all(connection)
                connection.execute(sql.insert(_META).values(version=HISTORY_VERSION))
        if version is None and self._is_sqlite:
            self._write_ahead()
        return HISTORY_VERSION if version is None else version

    def _write_ahead(self) -> None:
        """Have SQLite write ahead, so that readers never wait for a writer; the file keeps it.

        It needs the file alone for a moment and does not queue for that. Without it, say on a
        network's file system, the history is as safe, and slower.
        """
        for _ in range(_WAL_TRIES):
            with suppress(HistoryError), self._connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            time.sleep(_WAL_PAUSE_S)

    @contextmanager
    def _begin(self, writes: bool = False) -> Generator[sql.Connection]:
        with self._connect() as connection, connection.begin():
            if self._is_sqlite:
                # With the lock from the start, writers queue; two that took it with their first
                # write would both have read, and one of them fail.
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
            yield connection

    @contextmanager
    def _connect(self) -> Generator[sql.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        # Of a damaged file the messages of SQLite, or a cell of JSON, may not be readable.
        except (SQLAlchemyError, ValueError, RecursionError) as error:
            reason = first_line(getattr(error, "orig", None) or error).rstrip(".")
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
    return trend(
        history.read_cells(sorted({row.cell for row in measurements_of(run)}), TREND_LENGTH)
    )


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
