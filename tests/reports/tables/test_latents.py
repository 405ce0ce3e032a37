"""The latents' tables by hand, their findings, and their plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from vaebench.bench.store.record import LatentSummary, write_record
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.bench.store.tables import LATENT_COLUMNS, write_latents
from vaebench.reports.plots import PLOTS, NothingToShowError, save
from vaebench.reports.tables.latents import latent_findings, latent_sections, latents
from vaebench.reports.tables.writers import to_csv

NAMES = ("latent_channels", "latent_correlation", "latent_spectrum")


def channel(number: int, **fields: Any) -> dict[str, Any]:
    row = {
        **{"codec": "vae", "channel": number, "count": 100, "mean": 0.0123, "std": 2.0},
        **{"min": -6.5, "max": 8.25, "share_outside_4std": 0.0025, "is_dead": False},
        **{"kl_nats": 1.5, "correlation": [1.0, -0.25]},
    }
    return {**row, **fields}


TWO = [
    channel(0),
    channel(1, mean=-3.0, std=0.5, kl_nats=0.0, correlation=[-0.25, 1.0]),
]


def whole(**fields: Any) -> LatentSummary:
    entry: dict[str, Any] = {
        **{"codec": "vae", "pictures": 3, "mean": -1.5, "std": 2.0, "max_abs": 8.25},
        **{
            "suggested_scaling_factor": 0.5,
            "effective_channels": 1.125,
            "eigenvalues": (4.0, 0.25),
        },
        **{"kl_nats_per_picture": 75.0, "kl_nats_per_element": 0.75, "fp16_headroom": 7939.9},
    }
    return LatentSummary(**{**entry, **fields})


Make = Callable[..., StoredRun]


@pytest.fixture
def measured(make_run: Any, golden_spec: Any) -> Make:
    """A run whose first codec has the latents given; the other is a classical codec."""
    golden_spec.codecs = ("vae", "jpeg-q30")
    golden_spec.latent_channels = 2
    golden_spec.fixed = {}
    folder = make_run(golden_spec).folder

    def make(
        rows: list[dict[str, Any]] = TWO, entry: LatentSummary | None = None, **info: Any
    ) -> StoredRun:
        run = load_run(folder)
        first, *others = run.record.codecs
        first = replace(first, **{"scaling_factor": 0.5, **info})
        record = replace(run.record, latents=(entry or whole(),), codecs=(first, *others))
        write_record(run.folder, record)
        write_latents(run.folder, pd.DataFrame(rows))
        return load_run(run.folder)

    return make


def test_the_table_of_codecs_is_as_by_hand(measured: Make) -> None:
    codecs, channels = latent_sections(measured())
    row = dict(zip(codecs.header, codecs.rows[0], strict=True))
    assert row == {
        **{"codec": "vae", "pictures": "3", "channels": "2", "effective": "1.12", "dead": "0"},
        **{"mean": "-1.50", "std": "2.00", "scaling factor": "0.5000", "suggested": "0.5000"},
        **{"scaled std": "1.00", "KL per element": "0.750", "KL per picture": "75.00"},
        **{"largest": "8.25", "fp16 headroom": "7940×"},
    }
    assert channels.title == "Latent channels of vae"
    assert channels.rows == (
        ("0", "0.01", "2.00", "-6.50", "8.25", "0.25 %", "1.50", "1", "-0.25", ""),
        ("1", "-3.00", "0.500", "-6.50", "8.25", "0.25 %", "0", "0", "-0.25", ""),
    )
    for section in (codecs, channels):
        assert len(section.is_number) == len(section.header)


def test_what_is_not_to_be_had_is_a_dash(measured: Make) -> None:
    unknown = {"kl_nats": np.nan, "share_outside_4std": np.nan, "correlation": [np.nan]}
    flat = channel(0, mean=0.5, std=0.0, is_dead=True, **unknown)
    nothing = dict.fromkeys(
        ("suggested_scaling_factor", "effective_channels", "fp16_headroom", "kl_nats_per_element")
    )
    entry = whole(**nothing, kl_nats_per_picture=None, std=0.0, eigenvalues=(0.0,))
    run = measured([flat], entry, scaling_factor=None)
    codecs, channels = latent_sections(run)
    row = dict(zip(codecs.header, codecs.rows[0], strict=True))
    for name in ("effective", "scaling factor", "suggested", "scaled std", "KL per element"):
        assert row[name] == "–"
    assert row["fp16 headroom"] == "–"
    assert "KL" not in dict(codecs.notes)
    assert channels.rows[0][5:] == ("–", "–", "–", "–", "dead")


def test_csv_keeps_every_digit_and_leaves_what_is_absent_empty(
    measured: Make, table_of: Any
) -> None:
    rows = [channel(0, mean=0.1 + 0.2), channel(1, kl_nats=np.nan, correlation=[np.nan, 1.0])]
    rows[0]["correlation"] = [1.0, np.nan]
    run = measured(rows)
    first, second = csv.DictReader(io.StringIO(to_csv(table_of(run, "latents"))))
    assert set(first) == {*LATENT_COLUMNS, "closest_channel"}
    assert float(first["mean"]) == 0.1 + 0.2
    assert (first["kl_nats"], second["kl_nats"]) == ("1.5", "")
    assert (first["closest_channel"], first["correlation"]) == ("", "")


def test_healthy_latents_have_no_findings(measured: Make) -> None:
    assert latent_findings(measured()) == []


def test_each_problem_is_a_sentence(measured: Make) -> None:
    rows = [TWO[0], {**TWO[1], "is_dead": True}]
    entry = whole(max_abs=13100.0, fp16_headroom=5.0)
    run = measured(rows, entry, scaling_factor=0.18215)
    assert latent_findings(run) == [
        "vae: 1 of 2 channels is dead (1): the standard deviation is below a tenth of the median "
        "channel's.",
        "vae: times the config's scaling factor 0.1822, the latents of these pictures have a "
        "standard deviation of 0.364; 0.5000 would make it 1.",
        "vae: the largest latent, 13100, fits only 5.0 times into float16's 65504.",
    ]


@pytest.mark.parametrize(("factor", "told"), [(0.41, 0), (0.39, 1), (0.62, 0), (0.63, 1)])
def test_a_scaling_factor_may_be_a_quarter_off_either_way(
    measured: Make, factor: float, told: int
) -> None:
    assert len(latent_findings(measured(scaling_factor=factor))) == told


def test_one_factor_is_not_compared_with_statistics_of_each_channel(measured: Make) -> None:
    note = "scaled latents are normalised per channel, by statistics of the checkpoint"
    run = measured(scaling_factor=9.0, notes=(note,))
    assert latent_findings(run) == []
    row = dict(zip(latent_sections(run)[0].header, latent_sections(run)[0].rows[0], strict=True))
    assert (row["scaling factor"], row["scaled std"]) == ("–", "–")


def test_a_code_fitted_on_its_own_pictures_is_marked(measured: Make) -> None:
    note = "fitted on the pictures it is scored on (4 pictures)"
    (told,) = latent_findings(measured(notes=(note,)))
    assert told.startswith(f"vae: {note}")


def test_a_run_without_latents_says_so(make_run: Any, golden_spec: Any) -> None:
    golden_spec.codecs, golden_spec.fixed = ("vae", "jpeg-q30"), {}
    run = make_run(golden_spec)
    assert latents(run).empty
    assert latent_sections(run) == []
    assert latent_findings(run) == []
    for name in NAMES:
        with pytest.raises(NothingToShowError, match="not measured; make the run again"):
            PLOTS[name](run)


def test_plots_are_drawn_and_the_same_each_time(measured: Make, tmp_path: Path) -> None:
    run = measured([TWO[0], {**TWO[1], "is_dead": True}])
    for name in NAMES:
        (plot,) = PLOTS[name](run)
        paths = save(plot, tmp_path / "one")
        (again,) = PLOTS[name](run)
        for path, other in zip(paths, save(again, tmp_path / "two"), strict=True):
            assert path.read_bytes() == other.read_bytes()


def test_the_bars_are_the_means_and_deviations(measured: Make) -> None:
    (plot,) = PLOTS["latent_channels"](measured())
    (axis,) = plot.figure.axes
    bars: list[Any] = list(axis.patches)
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0.0123 - 2, 4), (-3.5, 1)]


def test_the_map_leaves_constant_channels_grey_and_needs_two(measured: Make) -> None:
    run = measured([channel(0), channel(1, std=0.0, correlation=[np.nan, np.nan])])
    (plot,) = PLOTS["latent_correlation"](run)
    shown = plot.figure.axes[0].images[0].get_array()
    assert np.ma.getmaskarray(np.ma.asarray(shown)).tolist() == [[False, False], [True, True]]
    single = measured([channel(0, correlation=[1.0])], whole(eigenvalues=(4.0,)))
    with pytest.raises(NothingToShowError, match="more than one latent channel"):
        PLOTS["latent_correlation"](single)


def test_the_spectrum_shows_shares_of_variance(measured: Make) -> None:
    (plot,) = PLOTS["latent_spectrum"](measured(entry=whole(eigenvalues=(3.0, 1.0))))
    (line,) = plot.figure.axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == [0.75, 0.25]
    with pytest.raises(NothingToShowError, match="constant"):
        PLOTS["latent_spectrum"](measured(entry=whole(eigenvalues=(0.0, 0.0))))
