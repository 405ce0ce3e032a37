"""Names that would lead out of a folder never make a run write, or delete, outside its own."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from vaebench.bench import api
from vaebench.bench.errors import HistoryWarning, RunFolderError, SuiteError
from vaebench.bench.images.find import find_images
from vaebench.bench.store.run import picture_path
from vaebench.bench.suite import CodecSpec, Suite, default_name

PIXELS = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


@pytest.fixture
def maze(tmp_path: Path) -> Path:
    """A folder whose list, links, regions and names all lead out of it."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "outer" / "x.png")
    Image.fromarray(PIXELS).save(inner / "..b.png")
    Image.fromarray(PIXELS).save(inner / "<img src=x onerror=alert(1)>.png")
    (inner / "link.png").symlink_to("../x.png")
    lines = [
        "../x.png",
        "link.png",
        "../inner/../inner/..b.png",
        "<img src=x onerror=alert(1)>.png",
    ]
    (inner / "list.txt").write_text("\n".join(lines))
    regions = [
        {"name": name, "kind": "../../kind", "box": [0, 0, 16, 16]}
        for name in ("../../up", "/tmp/absolute", "..", "<b>bold")
    ]
    (inner / "regions.json").write_text(json.dumps({"../x.png": regions, "../../y.png": regions}))
    return inner


def test_ids_of_pictures_stay_below_their_set(maze: Path) -> None:
    for source in (str(maze / "list.txt"), str(maze), f"{maze}/../**/*.png"):
        for image in find_images([source]).images:
            parts = PurePosixPath(image.image_id).parts
            assert not image.image_id.startswith("/")
            assert ".." not in parts


def test_a_run_writes_into_its_folder_alone(maze: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    run = api.run(
        images=[str(maze / "list.txt")],
        codecs=["jpeg:q=75"],
        metrics=["psnr"],
        regions=[str(maze / "regions.json")],
        out=tmp_path / "run",
        history="off",
    )
    assert set(run.images["image_id"]) == {
        "x.png",
        "link.png",
        "..b.png",
        *["<img src=x onerror=alert(1)>.png"],
    }
    assert len(run.regions) == 4
    written = {path.split("/")[0] for path in tree(tmp_path) - before}
    assert written == {"run"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<img src=x" not in page
    assert "<b>bold" not in page


@pytest.mark.parametrize(
    "name", ["..", ".", "../x", "/x", "a/b", "a\\b", "-x", "", " ", "a\n", "reference"]
)
def test_codecs_have_no_name_that_is_a_path(name: str) -> None:
    try:
        spec = CodecSpec.parse(f"{name}=jpeg:q=75")
    except SuiteError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", spec.name)


@given(source=st.text(min_size=1), value=st.text())
def test_a_codec_without_a_name_gets_one_that_is_no_path(source: str, value: str) -> None:
    name = default_name(source, {"revision": value})
    assert re.fullmatch(r"[A-Za-z0-9._+-]+", name)
    assert not name.startswith(".")


@pytest.mark.parametrize(
    ("codec", "image_id"),
    [
        ("jpeg", "../../x"),
        ("jpeg", "/x"),
        ("..", "x"),
        ("a/b", "x"),
        ("jpeg", "a/../../x"),
        ("", "x"),
    ],
)
def test_a_foreign_run_folder_leads_nowhere_else(tmp_path: Path, codec: str, image_id: str) -> None:
    with pytest.raises(RunFolderError, match="leads out of its folder"):
        picture_path(tmp_path, "reconstructions", codec, image_id)


def test_a_password_of_a_history_is_told_and_kept_nowhere(
    maze: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, url in enumerate(
        (
            "postgresql://ada:s3cret@127.0.0.1:1/team",
            "postgresql://127.0.0.1:1/team?user=ada&password=s3cret",
        )
    ):
        folder = tmp_path / f"run-{number}"
        with pytest.warns(HistoryWarning) as caught:
            api.run(
                images=[str(maze / "..b.png")],
                codecs=["jpeg:q=75"],
                metrics=["psnr"],
                out=folder,
                history=url,
            )
        assert not any("s3cret" in str(warning.message) for warning in caught)
        for path in folder.rglob("*"):
            assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
    told = capfd.readouterr()
    assert "s3cret" not in told.out + told.err


def test_a_suite_cannot_consent_to_foreign_code(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text('codecs = ["org/name:trust_remote_code"]\n')
    with pytest.raises(SuiteError, match="trust_remote_code of name-trust_remote_code is not"):
        Suite.load(suite)
