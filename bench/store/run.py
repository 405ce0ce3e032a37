"""The run folder: written part by part, read as DataFrames, resumed after a kill.

Every file appears whole or not at all (temporary file, fsync, rename). While a run goes on, each
finished picture leaves one JSON part; the last step gathers the parts into `scores.parquet`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from functools import cached_property
from pathlib import Path, PurePath

import pandas as pd

from ..errors import RunFolderError
from ..records import RATES, REFERENCE, WHOLE, Region, Unavailable
from ..suite import Suite
from .atomic import remove_leftovers
from .parts import Part, parts_of, remove_parts, scores_of
from .ranges import leads_out
from .record import (
    RunRecord,
    may_stand_before_a_record,
    read_record,
    record_path,
    write_record,
)
from .tables import (
    LATENT_COLUMNS,
    LATENT_TYPES,
    SCORE_COLUMNS,
    SCORE_TYPES,
    TIMING_COLUMNS,
    TIMING_TYPES,
    TREND_COLUMNS,
    TREND_TYPES,
    check_rows,
    check_states,
    read_table,
    write_scores,
)


def picture_path(folder: Path, room: str, codec: str, image_id: str, suffix: str = ".png") -> Path:
    """Return where a picture of a run is kept: `room` is reconstructions, maps or latents.

    Raises: RunFolderError for a name that leads out of the folder, as no run of ours has.
    """
    if codec in ("", ".", "..") or len(PurePath(codec).parts) != 1 or leads_out(image_id):
        raise RunFolderError(
            f"The picture {image_id!r} of the codec {codec!r} leads out of its folder, {folder}: "
            "it was not written by vaebench."
        )
    return folder / room / codec / f"{image_id}{suffix}"


@dataclass(frozen=True)
class StoredRun:
    """A run read back from its folder.

    `record` is run.json; `scores` is the tidy table with the columns SCORE_COLUMNS, NaN where a
    metric was unavailable (the reason is in `unavailable`).
    """

    folder: Path
    record: RunRecord
    scores: pd.DataFrame

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row a timed cell: TIMING_COLUMNS; without rows where nothing was timed."""
        path = self.folder / "timings.parquet"
        timings = read_table(path, TIMING_COLUMNS, TIMING_TYPES)
        names = {info.name for info in self.record.codecs}
        known = {"codec": names} if names else {}
        check_rows(path, timings, _CELL, known, TIMING_TYPES, _OF_SOME_CELLS)
        check_states(path, timings)
        return timings

    @cached_property
    def trend(self) -> pd.DataFrame:
        """One row an earlier or present measurement of this run's cells: TREND_COLUMNS."""
        return read_table(self.folder / "trend.parquet", TREND_COLUMNS, TREND_TYPES)

    @cached_property
    def latents(self) -> pd.DataFrame:
        """One row a channel of each codec with latents: LATENT_COLUMNS; without rows in old runs.

        What is told of a codec as a whole is in `record.latents`.
        """
        path = self.folder / "latents.parquet"
        latents = read_table(path, LATENT_COLUMNS, LATENT_TYPES)
        known = {"codec": {info.name for info in self.record.codecs}}
        check_rows(path, latents, ("codec", "channel"), known, LATENT_TYPES)
        for codec, rows in latents.groupby("codec", sort=False):
            widths = {0 if width is None else len(width) for width in rows["correlation"]}
            if widths != {len(rows)} or list(rows["channel"]) != list(range(len(rows))):
                raise RunFolderError(
                    f"{path} is damaged: the channels of {codec} are not whole. Make the run again."
                )
        return latents

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row a scored picture: image_id, image_set, path, sha256, size as scored, notes."""
        return pd.DataFrame([vars(image) for image in self.record.images])

    @cached_property
    def codecs(self) -> pd.DataFrame:
        """One row a codec: the fields of CodecInfo."""
        return pd.DataFrame([asdict(info) for info in self.record.codecs])

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that were scored, in the pixels that were scored."""
        return self.record.regions

    @cached_property
    def unavailable(self) -> pd.DataFrame:
        """One row a reason: metric, variant, reason, image_id, codec (None: all of them)."""
        columns = [field.name for field in fields(Unavailable)]
        rows = [vars(entry) for entry in self.record.unavailable]
        return pd.DataFrame(rows, columns=pd.Index(columns))

    def reference_path(self, image_id: str) -> Path | None:
        """Return the 8-bit PNG that the reconstructions were compared with, if it was kept."""
        return self._kept("reconstructions", REFERENCE, image_id)

    def reconstruction_path(self, codec: str, image_id: str) -> Path | None:
        """Return the reconstruction's 8-bit PNG, if it was kept."""
        return self._kept("reconstructions", codec, image_id)

    def map_path(self, codec: str, image_id: str) -> Path | None:
        """Return the error map: grey PNG, 0..255 for 0..record.error_map.max; if kept."""
        return self._kept("maps", codec, image_id)

    def latents_path(self, codec: str, image_id: str) -> Path | None:
        """Return the raw latents, a .npy of [C, h, w], if kept."""
        return self._kept("latents", codec, image_id, ".npy")

    def _kept(self, room: str, codec: str, image_id: str, suffix: str = ".png") -> Path | None:
        path = picture_path(self.folder, room, codec, image_id, suffix)
        is_file = self._listed(path.parent).get(path.name)
        if is_file is False:
            raise RunFolderError(
                f"Cannot use {path}: it is no file. Delete it (it is then left out) or make the "
                "run again."
            )
        # One that was listed may be deleted by now.
        return path if is_file and path.is_file() else None

    def _listed(self, folder: Path) -> Mapping[str, bool]:
        """Return what was kept in a folder, and whether it is a file; the disk is asked once.

        A folder that its own folder does not list is not looked for.
        """
        if folder not in self._listings:
            found: dict[str, bool] = {}
            if folder == self.folder or folder.name in self._listed(folder.parent):
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                    found = {entry.name: entry.is_file() for entry in entries}
            self._listings[folder] = found
        return self._listings[folder]

    @cached_property
    def _listings(self) -> dict[Path, Mapping[str, bool]]:
        return {}

    def _repr_html_(self) -> str:
        """Show a notebook the mean of each metric over whole pictures, a row a codec."""
        whole = self.scores[self.scores["region"] == "whole"]
        means = whole.pivot_table(
            index="codec", columns="variant", values="value", sort=False, dropna=False
        )
        count = self.images.shape[0]
        return f"<p>{self.record.name}: means over {count} pictures</p>{means.to_html()}"


def create_run(folder: Path, record: RunRecord) -> None:
    """Make a new run folder with its run.json; refuse one that holds anything already."""
    refuse_used_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        write_record(folder, record)
    except OSError as error:
        raise RunFolderError(
            f"Cannot write the run folder {folder}: {error.strerror}. Choose another --out."
        ) from error


def default_folder(suite: Suite, name: str = "") -> Path:
    """Return runs/<date>-<name or first image set>, with a number where that is taken."""
    images = Path(suite.images[0].rstrip("/")).name.split(".")[0].split("*")[0]
    return new_folder(Path("runs"), name or images or "images")


def new_folder(parent: Path, stem: str) -> Path:
    """Return parent/<date>-<stem>, with a number where that is taken."""
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", stem)
    first = parent / f"{date.today():%Y-%m-%d}-{safe}"
    folder, number = first, 2
    while folder.exists():
        folder = first.with_name(f"{first.name}-{number}")
        number += 1
    return folder


def refuse_used_folder(folder: Path) -> None:
    """Refuse a folder that holds more than suites and what a run leaves that was killed early.

    Raises: RunFolderError.
    """
    if not folder.exists() or (folder.is_dir() and all(map(_is_allowed, folder.iterdir()))):
        return
    resume = ""
    if record_path(folder).is_file():
        resume = f"go on with it by --resume {shlex.quote(str(folder))}, or "
    raise RunFolderError(
        f"Cannot start a run in {folder}: it is not an empty folder. "
        f"Please {resume}choose another --out."
    )


def _is_allowed(path: Path) -> bool:
    # A suite may lie in the folder of its run: --save-suite puts it there, say.
    return may_stand_before_a_record(path) or path.suffix == ".toml"


def clean_up(folder: Path) -> None:
    """Remove what a killed run left: half-written files, and parts that are in its tables.

    Nobody else may be writing in the folder.
    """
    remove_leftovers(folder)
    if read_record(folder).finished:
        remove_parts(folder)


def finish_run(folder: Path, record: RunRecord, parts: Sequence[Part] = ()) -> None:
    """Gather the parts, in the order of the record's images, into scores.parquet."""
    write_scores(folder, scores_of(parts))
    write_record(folder, replace(_with_reasons(record, parts), finished=True))
    remove_parts(folder)


def load_run(folder: str | Path) -> StoredRun:
    """Read a run folder; of a run that is not finished, the pictures that are.

    Raises: RunFolderError.
    """
    folder = Path(folder)
    record = read_record(folder)
    if not record.finished:
        parts = parts_of(folder, record)
        now = read_record(folder)
        if not now.finished:
            return StoredRun(folder, _with_reasons(record, parts), scores_of(parts))
        # It ended while its parts were being read, and took them away.
        record = now
    return StoredRun(folder, record, _read_scores(folder / "scores.parquet", record))


def _with_reasons(record: RunRecord, parts: Sequence[Part]) -> RunRecord:
    reasons = [*record.unavailable, *(entry for part in parts for entry in part.unavailable)]
    return replace(record, unavailable=tuple(dict.fromkeys(reasons)))


def _read_scores(path: Path, record: RunRecord) -> pd.DataFrame:
    if not path.is_file():
        raise RunFolderError(f"Cannot read {path}: it is gone. Restore it, or make the run again.")
    variants = {column.variant for column in record.metrics}
    places = len(record.images) + len(record.regions)
    most_rows = places * len(record.codecs) * (len(variants) + _MOST_RATES)
    scores = read_table(path, SCORE_COLUMNS, SCORE_TYPES, most_rows=most_rows)
    known = {
        "image_id": {image.image_id for image in record.images},
        "codec": {info.name for info in record.codecs},
        "variant": variants | {*scores.loc[scores["metric"].isin(RATES), "variant"].unique()},
    }
    check_rows(path, scores, ("image_id", "codec", "region", "variant"), known, SCORE_TYPES)
    regions = {(region.image_id, region.name, region.kind) for region in record.regions}
    parts = scores.loc[scores["region"] != WHOLE, ["image_id", "region", "kind"]]
    for part in parts.drop_duplicates().itertuples(index=False, name=None):
        if part not in regions:
            raise RunFolderError(
                f"{path} is of another run: {part[1]!r} is no {part[2]!r} of {part[0]!r} in its "
                "record. Restore it, or make the run again."
            )
    return scores


_MOST_RATES = 8
"""More than the variants of RATES that the rows of a picture can be of."""

_MEASURED = {name for kind in ("double", "doubles") for name in TIMING_TYPES[kind]}
_CELL = [name for name in TIMING_COLUMNS if name not in _MEASURED]
_OF_SOME_CELLS = (
    *("dtype", "reason", "threads", "peak_bytes", "peak_reserved_bytes", "flop", "throttled"),
    *("before", "after"),
)
