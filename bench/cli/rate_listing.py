"""What the command prints of a finished sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..rate.store import StoredRd


def list_rd(found: StoredRd) -> Iterator[str]:
    """Yield BD-rates a line a codec, then what was refused or failed, and why."""
    record = found.record
    for codec, rows in found.bd.groupby("codec", sort=False):
        cells: list[str] = []
        for row in rows.to_dict("records"):
            name = str(row["metric"]).partition("/")[0]
            value = float(row["bd_rate_percent"])
            cells.append(f"{name} {'refused' if math.isnan(value) else f'{value:+.1f} %'}")
        yield f"BD-rate of {codec} against {record['anchor']}: {', '.join(cells)}"
    refused: Any = found.bd[found.bd["bd_rate_percent"].isna()]
    for row in refused.to_dict("records"):
        yield f"  refused: {row['codec']}, {row['metric']}: {row['note']}"
    for entry in record["unavailable"]:
        where = f" ({len(entry['pictures'])} pictures)" if entry["pictures"] else ""
        yield f"Unavailable: {entry['variant']}{where}: {entry['reason']}"
    for entry in record["failures"]:
        pictures = ", ".join(entry["pictures"][:3])
        more = len(entry["pictures"]) - 3
        told = f"{pictures}{f' and {more} more' if more > 0 else ''}"
        yield f"Failed: {', '.join(entry['codecs'])} on {told}: {entry['reason']}"
    for entry in record["skipped"]:
        yield f"Skipped: {entry['image_id']}: {entry['reason']}"
