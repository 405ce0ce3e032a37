"""What a run is asked: which codecs, by their specs, on which pictures, and how."""

from .spec import QUANTISED, CodecSpec, Setting, default_name, parse_setting, parse_settings
from .suite import LARGEST_SIDE, Dtype, Mode, Speed, Suite, read_toml

__all__ = [
    "LARGEST_SIDE",
    "QUANTISED",
    "CodecSpec",
    "Dtype",
    "Mode",
    "Setting",
    "Speed",
    "Suite",
    "default_name",
    "parse_setting",
    "parse_settings",
    "read_toml",
]
