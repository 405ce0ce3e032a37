from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from vaebench.bench.compare.pairing import Mismatch, choose_baseline, label_codecs, pair_codec
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import CodecInfo, ImageRef, MetricColumn, Region
from vaebench.bench.store.record import new_record
from vaebench.bench.store.run import StoredRun
from vaebench.bench.store.tables import SCORE_COLUMNS
from vaebench.bench.suite import Suite

Row = tuple[str, str, str, str, float | None]
"""image_id, codec, region, kind, PSNR."""


def stored(run_id: str, name: str, rows: list[Row], **fields: Any) -> StoredRun:
    """Return a run with the rows' pictures, whose sha256 is the last letter of their name."""
    frame = pd.DataFrame(
        [(*row[:4], "psnr", "psnr/rgb8", row[4], "dB") for row in rows],
        columns=pd.Index(SCORE_COLUMNS),
    )
    images = dict.fromkeys(row[0] for row in rows)
    regions = dict.fromkeys((row[0], row[2], row[3]) for row in rows if row[2] != "whole")
    record = new_record(
        Suite.create(codecs=["jpeg"]),
        Path(name),
        "",
        finished=True,
        images=tuple(ImageRef(image, "set", "set", image[-1], 8, 8) for image in images),
        regions=tuple(Region(*region, (0, 0, 2, 2)) for region in regions),
        codecs=tuple(CodecInfo(it, "jpeg", "jpeg", {}) for it in dict.fromkeys(r[1] for r in rows)),
        metrics=(MetricColumn("psnr", "psnr/rgb8", "dB", True),),
    )
    return StoredRun(
        Path(name), replace(record, run_id=run_id, **fields), frame.astype({"value": float})
    )


def whole(image: str, codec: str, value: float | None) -> Row:
    return image, codec, "whole", "whole", value


def test_labels_tell_codecs_apart() -> None:
    first = stored("1", "before", [whole("a", "vae", 30), whole("a", "jpeg", 31)])
    second = stored("2", "after", [whole("a", "vae", 32)])
    third = stored("3", "after", [whole("a", "vae", 33)])
    assert [side.label for side in label_codecs([first])] == ["vae", "jpeg"]
    both = label_codecs([first, second])
    assert [side.label for side in both] == ["before/vae", "jpeg", "after/vae"]
    # Two folders of one name: only the run's id still tells them apart.
    labels = [side.label for side in label_codecs([first, second, third])]
    assert labels == ["before/vae", "jpeg", "2/vae", "3/vae"]
    assert choose_baseline(both, None) == both[0]
    assert choose_baseline(both, "after/vae") == both[2]
    with pytest.raises(RunFolderError, match="Unknown baseline"):
        choose_baseline(both, "vae")


def test_a_run_that_is_not_finished_says_how_to_go_on() -> None:
    run = stored("1", "my run", [whole("a", "vae", 30)], finished=False)
    with pytest.raises(RunFolderError, match=r"vaebench run --resume 'my run'$"):
        label_codecs([run])


def test_pictures_pair_by_content_whatever_their_name_and_order() -> None:
    first = stored("1", "x", [whole("one-a", "vae", 30), whole("one-b", "vae", 20)])
    second = stored("2", "y", [whole("two-b", "jpeg", 21), whole("two-a", "jpeg", 33)])
    pair, mismatches = pair_codec(*label_codecs([first, second]))
    assert pair is not None
    assert mismatches == []
    values = pair.by_image.reset_index().set_index("sha256")
    gained = values["codec_value"] - values["baseline_value"]
    assert gained.to_dict() == {"a": 3.0, "b": 1.0}


def test_a_file_that_was_converted_otherwise_does_not_pair() -> None:
    rows = [whole("a", "vae", 30), whole("b", "vae", 20)]
    first, second = stored("1", "x", rows), stored("2", "y", rows)
    image, *others = second.record.images
    image = replace(image, notes=("alpha composited on #000000",))
    second = replace(second, record=replace(second.record, images=(image, *others)))
    pair, mismatches = pair_codec(*label_codecs([first, second]))
    assert pair is not None
    assert [picture.image_id for picture in pair.pictures] == ["b"]
    assert [(entry.what, entry.where) for entry in mismatches] == [("picture", "a")]
    assert mismatches[0].reason == (
        "y: notes is 'alpha composited on #000000', the baseline's is ''"
    )


def test_a_kind_has_a_value_only_where_all_its_regions_have() -> None:
    rows = [
        row
        for codec in ("vae", "jpeg")
        for row in (
            whole("a", codec, 30),
            ("a", codec, "left", "eye", 20.0),
            ("a", codec, "right", "eye", None if codec == "jpeg" else 22.0),
            ("a", codec, "mouth", "whole", 25.0),
        )
    ]
    pair, _ = pair_codec(*label_codecs([stored("1", "x", rows)]))
    assert pair is not None
    # A kind that is called `whole` stays apart from the whole picture.
    assert pair.parts == ("whole", "eye", "whole (kind)")
    eye = pair.by_image.loc[("eye", "psnr/rgb8", "a")]
    assert eye["baseline_value"] == 21.0
    assert pd.isna(eye["codec_value"])
    assert pair.by_image.loc[("whole (kind)", "psnr/rgb8", "a"), "codec_value"] == 25.0


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ({"size": 32, "fit": "crop", "rounding": "8bit"}, "32 px by crop, rounded to 8 bits"),
        ({"size": None, "fit": None, "rounding": "float"}, "native size, float"),
    ],
)
def test_another_protocol_has_no_pair(suite: dict[str, Any], words: str) -> None:
    first = stored("1", "x", [whole("a", "vae", 30)])
    asked = Suite.create(codecs=["jpeg"], **suite)
    second = stored("2", "y", [whole("a", "jpeg", 30)], suite=asked)
    pair, mismatches = pair_codec(*label_codecs([first, second]))
    assert pair is None
    reason = f"{words}; the baseline: native size, rounded to 8 bits"
    assert mismatches == [Mismatch("protocol", "jpeg", reason)]


def test_the_background_of_padding_is_part_of_the_protocol() -> None:
    def run(name: str, background: str, **fit: Any) -> StoredRun:
        asked = Suite.create(codecs=["jpeg"], background=background, **fit)
        return stored(name, name, [whole("a", f"jpeg-{name}", 30)], suite=asked)

    pad = {"size": 96, "fit": "pad"}
    white, black = run("1", "#ffffff", **pad), run("2", "#000000", **pad)
    pair, mismatches = pair_codec(*label_codecs([white, black]))
    assert pair is None
    words = "96 px by pad on {}, rounded to 8 bits"
    reason = f"{words.format('#000000')}; the baseline: {words.format('#ffffff')}"
    assert mismatches == [Mismatch("protocol", "jpeg-2", reason)]
    # Where nothing is padded it lies under transparent pixels alone, of which notes tell.
    assert pair_codec(*label_codecs([run("1", "#ffffff"), run("2", "#000000")]))[0] is not None


def test_a_metric_whose_good_side_is_not_known_is_left_out() -> None:
    unknown = (MetricColumn("x", "x/y", "", None),)
    run = stored("1", "x", [whole("a", "vae", 30), whole("a", "jpeg", 30)], metrics=unknown)
    pair, mismatches = pair_codec(*label_codecs([run]))
    assert pair is None
    assert mismatches[0] == Mismatch("metric", "x/y", "whether higher is better is not known")
    assert "no metric in common" in mismatches[1].reason
