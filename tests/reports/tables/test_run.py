"""Golden tables of a run whose numbers are known by hand, and what must hold of any."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from vaebench.bench.records import Region, Unavailable
from vaebench.reports.tables.columns import quality_columns
from vaebench.reports.tables.run import TABLES, per_image, per_region, summary, unavailable
from vaebench.reports.tables.writers import to_csv, to_latex, to_markdown

# One: 30, 20, inf, 40 dB; d.png has twice the pixels. Pooled over 5 parts:
# MSE (1e-3 + 1e-2 + 0 + 2e-4) / 5, 26.50 dB. Two: 25, 15, 35, 45 dB, 21.53 dB pooled.
MARKDOWN = """\
### Means

| codec | psnr/rgb8 | lpips/alex-0.1 | flip/ppd67 | bpp/stored | bpp/measured | elements\\_ratio \
| stored\\_bits\\_ratio |
|:--|--:|--:|--:|--:|--:|--:|--:|
| one | inf (1 of 4 identical; the rest 30.00) | unavailable | 0.0000 | 10.000 | – | 9.6 | 2.4 |
| two | 30.00 | unavailable | 0.0000 | – | 1.500 | – | 16 |

### PSNR (psnr/rgb8)

| codec | pictures | mean | infinite | mean of the finite | median | worst 5 % | worst \
| worst picture | pooled-MSE PSNR |
|:--|--:|--:|--:|--:|--:|--:|--:|:--|--:|
| one | 4 | inf | 1 | 30.00 | 35.00 | 21.50 | 20.00 | b\\_1.png | 26.50 |
| two | 4 | 30.00 | 0 | 30.00 | 30.00 | 16.50 | 15.00 | b\\_1.png | 21.53 |
"""


def test_summary_in_markdown_is_as_by_hand(make_run: Any, golden_spec: Any, table_of: Any) -> None:
    run = make_run(golden_spec)
    text = to_markdown(table_of(run, "summary"))
    assert text[: len(MARKDOWN)] == MARKDOWN
    assert "| one | 0 | unavailable | unavailable | unavailable | unavailable | – |" in text
    assert text.rstrip().endswith(
        "*unavailable*: lpips/alex-0.1: No AlexNet trunk was found. "
        "Pass --weights DIR with lpips/alexnet\\_features.safetensors."
    )
    assert "nan" not in text.lower()


def test_per_image_in_csv_has_every_digit(make_run: Any, golden_spec: Any, table_of: Any) -> None:
    golden_spec.fixed["a.png", "two"] = 25.123456789012345
    run = make_run(golden_spec)
    assert to_csv(table_of(run, "per_image")).splitlines()[:4] == [
        "image_id,codec,psnr/rgb8,lpips/alex-0.1,flip/ppd67,bpp/stored,bpp/measured,"
        "elements_ratio,stored_bits_ratio",
        "a.png,one,30.0,unavailable,0.0,10.0,,9.6,2.4",
        "a.png,two,25.123456789012344,unavailable,0.0,,1.5,,16.0",
        "b_1.png,one,20.0,unavailable,0.0,10.0,,9.6,2.4",
    ]


def test_latex_of_worst_is_as_by_hand(make_run: Any, golden_spec: Any, table_of: Any) -> None:
    run = make_run(golden_spec)
    text = to_latex(table_of(run, "worst"))
    expected = r"""
\begin{longtable}{lrlr}
\caption{tiny: PSNR (psnr/rgb8)}\\
\toprule
codec & rank & picture & value \\
\midrule
\endhead
\bottomrule
\endfoot
one & 1 & b\_1.png & 20.00 \\
one & 2 & a.png & 30.00 \\
one & 3 & d.png & 40.00 \\
one & 4 & c.png & inf \\
two & 1 & b\_1.png & 15.00 \\
two & 2 & a.png & 25.00 \\
two & 3 & c.png & 35.00 \\
two & 4 & d.png & 45.00 \\
\end{longtable}
"""
    assert expected in text


def test_a_kind_s_gap_is_the_mean_of_its_regions_gaps(make_run: Any, photo_spec: Any) -> None:
    photo_spec.regions = (
        *photo_spec.regions,
        Region("people/astronaut.png", "right-eye", "eye", (85, 94, 108, 108)),
    )
    run = make_run(photo_spec)
    table = per_region(run)
    kinds = list(dict.fromkeys(table.index.get_level_values("kind")))
    assert kinds == ["eye", "face", "nose"]
    for codec in photo_spec.codecs:
        rows = table.sort_index().loc[codec, "eye"]["psnr/rgb8"]
        mean, single = rows.loc["", ""], rows.drop(index=("", ""))
        assert mean["regions"] == len(single) == 2
        assert mean["gap"] == pytest.approx(single["gap"].mean())
        assert mean["gap"] == pytest.approx(mean["value"] - mean["whole"])
        whole = per_image(run).loc[("cat.png", codec), "psnr/rgb8"]
        assert single.loc["left-eye", "cat.png"]["whole"] == whole
    first = quality_columns(run)[0]
    assert per_region(run, first).equals(table[[first.variant]])


def test_an_identical_region_is_left_out_of_its_kind_s_gap(make_run: Any, golden_spec: Any) -> None:
    golden_spec.regions = (Region("a.png", "eye", "eye", (0, 0, 4, 4)),)
    run = make_run(golden_spec)
    block = per_region(run)["psnr/rgb8"].loc["one", "eye"]
    assert block.loc["eye", "a.png"]["value"] == math.inf
    assert block.loc["", ""]["regions"] == 0
    assert math.isnan(block.loc["", ""]["gap"])


def test_no_column_holds_two_variants(make_run: Any, golden_spec: Any) -> None:
    run = make_run(golden_spec)
    for name in ("summary", "per_image", "per_region", "worst"):
        table = TABLES[name](run)
        variants = set(table.columns.get_level_values(0))
        assert variants <= set(run.scores["variant"]), name
    stored = summary(run)["bpp/stored", "mean"]
    assert stored["one"] == 10.0
    assert np.isnan(stored["two"])


def test_unavailable_gathers_the_pictures_of_one_reason(make_run: Any, golden_spec: Any) -> None:
    run = make_run(golden_spec)
    more = tuple(
        Unavailable("ms_ssim", "ms_ssim/rgb8", "Too small.", image_id, "one")
        for image_id in ("a.png", "b_1.png", "c.png", "d.png")
    )
    record = replace(run.record, unavailable=(*run.record.unavailable, *more))
    row = unavailable(replace(run, record=record)).iloc[1]
    assert (row["codec"], row["pictures"]) == ("one", "a.png, b_1.png, c.png and 1 more")


def test_a_mean_over_fewer_pictures_says_so(make_run: Any, golden_spec: Any, table_of: Any) -> None:
    run = make_run(golden_spec)
    of_two = (run.scores["codec"] == "two") & (run.scores["image_id"] == "a.png")
    run.scores.loc[of_two & (run.scores["metric"] == "psnr"), "value"] = math.nan
    text = to_markdown(table_of(run, "summary"))
    assert "| two | 31.67 (3 of 4 pictures) |" in text
