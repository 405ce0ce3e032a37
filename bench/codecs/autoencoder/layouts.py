"""Which tensors of a file are the autoencoder: nested dictionaries, prefixes, halves.

Training keeps weights in dictionaries ({"state_dict": …}, {"model": …, "ema": …}) and under the
names of what wraps a model (module., _orig_mod., first_stage_model.). Each place where a file may
hold an autoencoder is a layout; that one is taken which is one exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import CodecError, shortened
from ..networks.stored import StoredTensor

_MOST_DEEP = 3
_MOST_LAYOUTS = 20
_LONGEST_NAME = 1000
# What training left in a file; it is no part of the autoencoder.
_TRAINING = ("loss.", "model_ema.")
# Published files have these; their readers need no note.
_USUAL = {"", "state_dict", "first_stage_model.", "vae."}
_HALVES = (
    re.compile(r"((?:[^.]+\.)*?)encoder\."),
    re.compile(r"((?:[^.]+\.)*?)decoder(?:_unet)?\."),
)
_HALF_OF_AUTOENCODER = re.compile(r"(?:.*\.)?(encoder|decoder)\.(?:conv_in|conv1|down|up|mid)")
_NUMBERED = re.compile(r"\d+\.")
# torch.compile puts it before the names of whatever part was compiled.
_COMPILED = "_orig_mod."

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Tensors that may be an autoencoder's, by the names that they have in it.

    `keys` lead to their dictionary, `prefix` stands before their names there, and `others` are
    that dictionary's other names. `is_compiled` tells that torch.compile had renamed them.
    """

    keys: tuple[str, ...]
    prefix: str
    tensors: Mapping[str, StoredTensor]
    others: tuple[str, ...]
    is_compiled: bool

    @property
    def nbytes(self) -> int:
        """The bytes that its tensors take in memory."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def where(self) -> str:
        """How it is called among others of its file."""
        path = "".join(f"{key}." for key in self.keys) + self.prefix
        return path.rstrip(".") or "the names that have no prefix"

    @property
    def notes(self) -> list[str]:
        """What a reader must know of where the weights were; nothing of usual places."""
        told: list[str] = []
        if any(key not in _USUAL for key in self.keys):
            told.append(f"of {shortened('.'.join(self.keys))!r}")
        if self.prefix not in _USUAL:
            told.append(f"without their prefix {shortened(self.prefix)!r}")
        if self.is_compiled:
            told.append(f"without {_COMPILED!r} in their names")
        return [f"the file's weights {', '.join(told)} are taken"] if told else []


def layouts_of(content: Mapping[Any, Any]) -> list[Layout]:
    """Return every layout of what a file holds; first those that have both halves."""
    found: list[Layout] = []
    for keys, stored in _dictionaries(content, (), set()):
        tensors = {name.replace(_COMPILED, ""): tensor for name, tensor in stored.items()}
        prefixes = {prefix: None for prefix in sorted(_prefixes(tensors)) if prefix}
        is_compiled = tensors.keys() != stored.keys()
        found += [_layout(keys, prefix, tensors, is_compiled) for prefix in (*prefixes, "")]
    return sorted(found, key=lambda layout: not _has_halves(layout))[:_MOST_LAYOUTS]


def _dictionaries(
    content: Mapping[Any, Any], keys: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], dict[str, StoredTensor]]]:
    """Yield each dictionary that holds tensors by name, and where it is."""
    if id(content) in seen:
        return
    seen.add(id(content))
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, StoredTensor)
    }
    if tensors or not keys:
        yield keys, tensors
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, dict) and len(keys) < _MOST_DEEP:
            yield from _dictionaries(value, (*keys, name), seen)


def _prefixes(names: Mapping[str, Any]) -> set[str]:
    """Return what stands before both an encoder and a decoder."""
    before: list[set[str]] = []
    for pattern in _HALVES:
        matches = (pattern.match(name) for name in names if len(name) <= _LONGEST_NAME)
        before.append({match[1] for match in matches if match})
    return before[0] & before[1]


def _layout(
    keys: tuple[str, ...], prefix: str, tensors: Mapping[str, StoredTensor], is_compiled: bool
) -> Layout:
    own = {name[len(prefix) :]: name for name in tensors if name.startswith(prefix)}
    return Layout(
        keys,
        prefix,
        {short: tensors[name] for short, name in own.items() if not short.startswith(_TRAINING)},
        tuple(name for name in tensors if not name.startswith(prefix)),
        is_compiled,
    )


def _has_halves(layout: Layout) -> bool:
    return "" in _prefixes(layout.tensors)


def choose(
    source: str, layouts: Sequence[Layout], fit: Callable[[Layout], T]
) -> tuple[Layout, T, list[str]]:
    """Return the layout that fits, what `fit` made of it, and notes.

    Of a model and its moving average, which fit alike, the average is taken: it is what is meant
    to be used.

    Args:
        fit: raises CodecError where a layout is not exactly an autoencoder.
    Raises: CodecError where none fits, or several do.
    """
    fitting: list[tuple[Layout, T]] = []
    faults: list[CodecError] = []
    for layout in layouts:
        try:
            fitting.append((layout, fit(layout)))
        except CodecError as error:
            faults.append(error)
    if not fitting:
        raise _half_alone(source, layouts) or faults[0]
    averages = [pair for pair in fitting if "ema" in pair[0].where.lower()]
    if len(fitting) > 1 and len(averages) != 1:
        names = ", ".join(repr(shortened(layout.where)) for layout, _ in fitting[:10])
        raise CodecError(
            f"Cannot open {source}: it holds {len(fitting)} autoencoders that fit alike, {names}. "
            "Save the one that is meant in a file of its own."
        )
    layout, made = averages[0] if len(fitting) > 1 else fitting[0]
    others = [other.where for other, _ in fitting if other is not layout]
    notes = [f"{', '.join(map(repr, others))} of the same file would fit too"] if others else []
    return layout, made, [*layout.notes, *notes]


def _half_alone(source: str, layouts: Sequence[Layout]) -> CodecError | None:
    """Return the error for a file of which one half is missing."""
    names = [name for layout in layouts for name in layout.tensors if len(name) <= _LONGEST_NAME]
    halves = {match[1] for name in names if (match := _HALF_OF_AUTOENCODER.match(name))}
    if len(halves) == 1:
        (half,) = halves
        missing = "decoder" if half == "encoder" else "encoder"
        return CodecError(
            f"Cannot open {source}: it holds the {half} alone, its {missing} is missing. Give a "
            "file that has both."
        )
    if names and all(_NUMBERED.match(name) for name in names):
        return CodecError(
            f"Cannot open {source}: its tensors are numbered, as one half in TAESD's format is. "
            "The other half is missing: two files are expected beside each other, of names with "
            "encoder and decoder."
        )
    return None
