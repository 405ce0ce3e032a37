"""Tables as their files hold them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vaebench.bench.store.run import StoredRun
from vaebench.reports.tables.sections import run_tables
from vaebench.reports.tables.writers import Table


@pytest.fixture
def table_of() -> Callable[[StoredRun, str], Table]:
    """Return a table of a run by its name."""
    return lambda run, name: next(table for table in run_tables(run) if table.name == name)
