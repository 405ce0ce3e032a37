"""The terminal: commands, options, progress, sentences."""

from __future__ import annotations

from .app import main

__all__ = ["main"]
