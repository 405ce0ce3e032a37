import json

import numpy as np
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.rate.store import BD_COLUMNS, BD_QUALITY_COLUMNS, RD_COLUMNS, load_rd


def test_the_tables_have_the_promised_columns_and_read_back_as_written(make_rd):
    found = make_rd()
    assert (found.folder / "bd.csv").read_text().splitlines()[0] == ",".join(BD_COLUMNS)
    assert tuple(found.points.columns) == RD_COLUMNS
    assert tuple(found.bd_quality.columns) == BD_QUALITY_COLUMNS
    assert found.bd["bd_rate_percent"].dtype == np.float64
    again = load_rd(str(found.folder))
    assert again.bd.equals(found.bd) and again.points.equals(found.points)


def test_an_empty_note_stays_a_note_and_a_missing_number_stays_missing(make_rd):
    found = make_rd()
    assert set(found.equal.query("codec == 'vae'")["note"]) == {""}
    assert found.equal.query("metric == 'lpips'")["value"].isna().all()


def test_pictures_of_an_earlier_sweep_are_removed_and_those_shown_stay(make_rd):
    folder = make_rd().folder
    (folder / "gallery" / "old.webp").write_bytes(b"old")
    found = make_rd()
    names = {path.name for path in (folder / "gallery").iterdir()}
    assert "old.webp" not in names
    assert {row["picture"] for row in found.record["gallery"]["rows"]} < names


def test_a_folder_that_is_none_is_answered_with_a_sentence(make_rd, tmp_path):
    with pytest.raises(RunFolderError, match=r"is no finished sweep .*no readable rd\.json"):
        load_rd(tmp_path / "nothing")
    folder = make_rd().folder
    path = folder / "rd.json"
    path.write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(RunFolderError, match="schema version 99, this vaebench reads up to 1"):
        load_rd(folder)
    path.write_text("{")
    with pytest.raises(RunFolderError, match="is damaged"):
        load_rd(folder)


def test_a_table_that_is_gone_or_lacks_a_column_is_told(make_rd):
    folder = make_rd().folder
    (folder / "bd.csv").write_text("codec,anchor\n")
    with pytest.raises(RunFolderError, match="lacks the columns metric, bd_rate_percent"):
        load_rd(folder)
    (folder / "bd.csv").unlink()
    with pytest.raises(RunFolderError, match=r"Cannot read .*bd\.csv"):
        load_rd(folder)
