"""The fixture `vae_benchmark`, in pytest runs of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TEST_FILE = """
def test_decode(vae_benchmark):
    output = vae_benchmark("demo-f8c4", stage="decode", size=64, batch=2)
    assert output.shape == (2, 3, 64, 64)

def test_classical(vae_benchmark):
    assert vae_benchmark("jpeg:q=75", stage="encode", size=64).payloads
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # In a worker of pytest-xdist pytest-benchmark would save nothing.
    inherited = {key: value for key, value in os.environ.items() if "XDIST" not in key}
    plugins = ("-p", "no:cacheprovider", "-p", "no:xdist")
    command = [sys.executable, "-m", "pytest", "-q", *plugins, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=inherited
    )


def test_device_precision_and_images_per_s_are_saved_for_comparison(tmp_path: Path) -> None:
    (tmp_path / "test_vae.py").write_text(TEST_FILE)
    quick = ("--benchmark-min-rounds=3", "--benchmark-max-time=0.1", "--benchmark-warmup=off")
    done = run_pytest(tmp_path, *quick, "--benchmark-autosave")
    assert done.returncode == 0, done.stdout + done.stderr
    (saved,) = tmp_path.glob(".benchmarks/*/*.json")
    decode, jpeg = json.loads(saved.read_text())["benchmarks"]
    extra = decode["extra_info"]
    assert (extra["dtype"], extra["stage"], extra["size_px"]) == ("float32", "decode", 64)
    assert extra["images_per_s"] == pytest.approx(2 / decode["stats"]["median"])
    assert (extra["device"] == "CPU") == ("peak_bytes" not in extra)
    assert jpeg["extra_info"]["device"] == "CPU"
    assert jpeg["extra_info"]["dtype"] is None
    limit = "--benchmark-compare-fail=mean:100000%"
    compared = run_pytest(tmp_path, *quick, "--benchmark-compare", limit, "-k", "classical")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert compared.stdout.count("test_classical (") == 2


def test_the_plugin_imports_no_torch_where_nothing_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_it(request):\n"
        "    assert request.config.pluginmanager.hasplugin('vaebench')\n"
        "    assert not {'torch', 'numpy', 'pandas', 'diffusers'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_pytest_benchmark_the_fixture_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_vae.py").write_text(TEST_FILE)
    done = run_pytest(tmp_path, "-p", "no:benchmark")
    assert done.returncode == 1
    assert "pip install pytest-benchmark" in done.stdout
