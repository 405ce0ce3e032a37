import subprocess
import sys
from importlib.metadata import EntryPoint
from pkgutil import resolve_name

import pytest
from vaebench.bench import codecs
from vaebench.bench.codecs import CODECS, Family, families, open_codec
from vaebench.bench.errors import CodecError


@pytest.mark.parametrize("word", CODECS)
def test_what_a_family_names_is_there(word):
    assert isinstance(CODECS[word].opens, str)
    assert callable(resolve_name(CODECS[word].opens))


@pytest.mark.parametrize(
    ("opens", "told"),
    [
        ("broken_codec:open", "RuntimeError: no luck"),
        ("other_codec:absent", "AttributeError: module 'other_codec' has no attribute 'absent'"),
        ("nowhere.at.all:open", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(third_party, monkeypatch, opens, told):
    family = Family(lambda source: source == "lost", opens, "lost")
    monkeypatch.setitem(CODECS, "lost", family)
    with pytest.raises(CodecError) as error:
        open_codec("it", "lost", {})
    assert str(error.value) == (
        f"Cannot open it: what opens it, {opens!r}, does not load ({told}). "
        "Mend or reinstall the package that brings it."
    )


def test_listing_and_claiming_import_no_torch():
    program = (
        "import sys; from vaebench.bench.codecs import CODECS\n"
        "[family.claims(source) for family in CODECS.values()\n"
        " for source in ('jpeg', 'org/name', '.', './none')]\n"
        "print(sorted({'torch', 'diffusers', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


def test_every_public_name_is_there():
    assert all(getattr(codecs, name) for name in codecs.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        codecs.absent  # noqa: B018


def test_a_word_belongs_to_one_family():
    for word in ("jpeg", "webp", "avif", "jpeg2000", "png", "resize"):
        assert [name for name, family in CODECS.items() if family.claims(word)] == [word]


def test_an_unknown_word_is_answered_with_the_nearest():
    with pytest.raises(CodecError) as error:
        open_codec("it", "jpg", {})
    sentence = str(error.value)
    assert sentence.startswith("Unknown codec 'jpg'. Did you mean jpeg? Valid: avif, ")
    assert sentence.endswith(
        "A checkpoint is a folder (./sd-vae), a file (./vae.safetensors) or a hub id (org/name)."
    )


@pytest.mark.parametrize("source", ["./none", "none.safetensors", "/none/at/all", "a/b/c"])
def test_a_path_that_is_not_there_is_told(source):
    with pytest.raises(CodecError) as error:
        open_codec("it", source, {})
    assert str(error.value) == (
        f"Cannot open {source}: there is no such file or folder. "
        "A checkpoint is a folder (./sd-vae), a file (./vae.safetensors) or a hub id (org/name)."
    )


def test_a_folder_without_a_checkpoint_is_told(tmp_path):
    with pytest.raises(CodecError, match=r"no autoencoder is found there\. A diffusers folder"):
        open_codec("it", str(tmp_path), {})


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Two packages of others: one with two families, one that does not import."""
    (tmp_path / "other_codec.py").write_text(
        "from vaebench.bench.codecs import Family\n"
        "def open_mine(name, source, settings): return (name, source, settings)\n"
        "FAMILY = Family(lambda source: source.startswith('mine-'),\n"
        "                'other_codec:open_mine', 'mine-1')\n"
        "AT_HAND = Family(lambda source: False, open_mine, 'at-hand')\n"
        "NO_FAMILY = 3\n"
    )
    (tmp_path / "broken_codec.py").write_text("raise RuntimeError('no luck')\n")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("broken", "broken_codec:FAMILY", "vaebench.codecs"),
        EntryPoint("none", "other_codec:NO_FAMILY", "vaebench.codecs"),
        EntryPoint("mine", "other_codec:FAMILY", "vaebench.codecs"),
        EntryPoint("at-hand", "other_codec:AT_HAND", "vaebench.codecs"),
    ]
    monkeypatch.setattr(families, "entry_points", lambda group: points)


def test_others_add_families_by_entry_point(third_party):
    assert open_codec("it", "mine-7", {"q": 1}) == ("it", "mine-7", {"q": 1})
    assert open_codec("it", "mine", {}) == ("it", "mine", {})
    assert open_codec("it", "at-hand", {}) == ("it", "at-hand", {})
    assert open_codec("it", "jpeg", {}).info.family == "jpeg"


def test_a_broken_entry_point_is_told_when_it_is_asked_for(third_party):
    with pytest.raises(CodecError) as error:
        open_codec("it", "broken", {})
    assert str(error.value) == (
        "Cannot open broken: its entry point 'broken_codec:FAMILY' does not load "
        "(RuntimeError: no luck). Mend or uninstall the package that brings it."
    )
    with pytest.raises(CodecError, match="a vaebench Family is expected, got int"):
        open_codec("it", "none", {})


def test_an_unknown_source_tells_of_the_broken_ones(third_party):
    with pytest.raises(CodecError) as error:
        open_codec("it", "minne", {})
    sentence = str(error.value)
    assert "Did you mean mine?" in sentence
    assert "Entry points that do not load: broken (RuntimeError: no luck), none (" in sentence
