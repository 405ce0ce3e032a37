"""What libtiff says while it decodes: it writes to the terminal, where no one can catch it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager

_STDERR = 2
_MOST_BYTES = 1 << 20
_ONE_AT_A_TIME = threading.RLock()
_ITS_OWN = re.compile(rb"(?:tempfile\.tif|filename|_?[A-Z]\w*): .+")
"""Its lines begin with a function's name, or with the one that Pillow gives every file. Pillow has
switched its warnings off: all are errors."""


@contextmanager
def libtiff_lines() -> Generator[list[str]]:
    """Yield a list that holds, once the context ends, what libtiff complained of meanwhile.

    What others write to the terminal in that time comes there after it. Where there was none
    at the start (`2>&-`) nothing is caught.
    """
    lines: list[str] = []
    with _ONE_AT_A_TIME:
        if sys.__stderr__ is None:
            # Closed before the start: the number may be any file's by now.
            yield lines
            return
        terminal = os.dup(_STDERR)
        with os.fdopen(terminal, "wb", 0) as kept, tempfile.TemporaryFile(buffering=0) as caught:
            _flush()
            os.dup2(caught.fileno(), _STDERR)
            try:
                yield lines
            finally:
                _flush()
                os.dup2(kept.fileno(), _STDERR)
                caught.seek(0)
                for line in caught.read(_MOST_BYTES).splitlines(keepends=True):
                    if _ITS_OWN.match(line):
                        lines.append(line.decode("utf-8", "replace").strip().rstrip("."))
                    else:
                        kept.write(line)


def _flush() -> None:
    # A notebook's own writer has none.
    if hasattr(sys.stderr, "flush"):
        sys.stderr.flush()
