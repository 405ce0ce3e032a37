"""Metrics of whole sets of pictures: what is asked for by name, and is none of a pair."""

from __future__ import annotations

from .base import MetricError

_NAMES = frozenset(
    (
        *("fid", "rfid", "gfid", "sfid", "clipfid", "fiddinov2", "mifid", "fd", "rfd", "fvd"),
        *("rfvd", "fdd", "fddinov2", "kid", "rkid", "cmmd", "clipmmd", "is", "isc", "prdc"),
        *("precision", "recall", "precisionrecall", "density", "coverage", "inceptionscore"),
        *("frechetdistance", "frechetinceptiondistance", "kernelinceptiondistance"),
        "memorizationinformedfrechetinceptiondistance",
    )
)


def refuse_set_metric(name: str) -> None:
    """Raise MetricError where a name, with or without its package's prefix, is a set's metric."""
    loose = name.rpartition(":")[2].lower()
    for sign in "-_ ":
        loose = loose.replace(sign, "")
    if loose in _NAMES:
        raise MetricError(
            f"{name!r} compares the distributions of two sets of pictures; vaebench scores each "
            "picture against its own reconstruction. Compute it, with torch-fidelity, say, from "
            "the folders that a run keeps: reconstructions/reference and reconstructions/CODEC."
        )
