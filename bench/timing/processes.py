"""Samples from fresh worker processes, also of other interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import VaebenchError
from ..suite import CodecSpec

_PACKAGE = Path(__file__).resolve().parents[2]
_STOP_S = 10.0


@dataclass(frozen=True)
class Request:
    """What a worker times; `warmup_s` bounds its warm-up."""

    codec: CodecSpec
    stage: str
    dtype: str | None
    warmup_s: float = 10.0


@dataclass(frozen=True)
class Harness:
    """What both sides share: a folder from which `vaebench` is imported, and the pictures."""

    import_folder: Path
    pixels: Path


@contextmanager
def staged_harness(size: int, batch: int) -> Generator[Harness]:
    """Lay out this package alone, and the pictures, where any interpreter can read them."""
    import numpy as np

    from ..images.sample import sample_pixels

    with tempfile.TemporaryDirectory(prefix="vaebench-ab-") as folder:
        # Only our own package: the folder it is installed in would bring this interpreter's torch.
        (Path(folder) / "vaebench").symlink_to(_PACKAGE, target_is_directory=True)
        pixels = Path(folder) / "pixels.npy"
        np.save(pixels, sample_pixels(size, batch))
        yield Harness(Path(folder), pixels)


class ProcessSource:
    """One side of a comparison as a `SampleSource`: each `start` is a fresh process.

    `environment` is what the latest worker told of itself.
    """

    def __init__(self, name: str, request: Request, python: Path | None, harness: Harness) -> None:
        self.request = request
        self.python = str(python or sys.executable)
        self.environment: dict[str, Any] | None = None
        self._name = name
        self._harness = harness
        self._is_warm = False
        self._process: subprocess.Popen[str] | None = None
        self._stderr: IO[str] | None = None

    def start(self) -> None:
        """Start a worker, which opens its codec. Raises: VaebenchError for no interpreter."""
        request = self.request
        self._is_warm = False
        folder = str(self._harness.import_folder)
        environment = {**os.environ, "PYTHONPATH": folder}
        # Closed by `stop`; a file, since nobody reads a pipe while the worker runs.
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [self.python, "-m", "vaebench.bench.timing.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
                encoding="utf-8",
                env=environment,
            )
        except OSError as error:
            raise VaebenchError(
                f"Cannot start {self._name}: {self.python} does not run ({error.strerror}). "
                "Name a Python interpreter that has torch and diffusers."
            ) from error
        question = {
            "codec": request.codec.model_dump(),
            "is_by_hand": request.codec.is_by_hand,
            "stage": request.stage,
            "dtype": request.dtype,
            "pixels": str(self._harness.pixels),
        }
        self._tell(question)

    def warm_up(self) -> None:
        """Warm the worker up.

        Raises: VaebenchError with the worker's own sentence where it could not open its codec.
        """
        self._tell({"warm_up": self.request.warmup_s})
        self.environment = self._answer("ready")
        self._is_warm = True

    def draw(self, count: int) -> Sequence[float]:
        """Return the next samples, in ms. Raises: VaebenchError where the worker died."""
        self._tell({"draw": count})
        return self._answer("samples_ms")

    def stop(self) -> None:
        """End the worker; it is killed where it does not end by itself, or is opening still."""
        process, self._process = self._process, None
        if process is not None:
            if not self._is_warm:
                process.kill()
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def _tell(self, question: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError(f"{self._name} was not started")
        # Where the worker has died, reading its answer tells why.
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()

    def _answer(self, key: str) -> Any:
        process = self._process
        line = process.stdout.readline() if process is not None and process.stdout else ""
        answer = json.loads(line) if line else {}
        if key in answer:
            return answer[key]
        told = answer.get("error") or self._last_words()
        raise VaebenchError(f"Cannot time {self._name}: {told}")

    def _last_words(self) -> str:
        """Return what a dead worker last wrote to stderr, and the mend where it lacks a package."""
        process = self._process
        code = None if process is None else process.wait()
        lines: list[str] = []
        if self._stderr is not None:
            self._stderr.seek(0)
            lines = self._stderr.read().strip().splitlines()
        told = lines[-1] if lines else "it wrote nothing"
        mend = f" Install it for {self.python}." if told.startswith("ModuleNotFoundError") else ""
        return f"its worker ended with exit code {code} ({told}).{mend}"
