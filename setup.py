"""Every folder of code is a package below `vaebench`; pyproject.toml holds all else."""

from setuptools import find_packages, setup

ROOMS = [pattern for room in ("bench", "metrics", "reports") for pattern in (room, f"{room}.*")]
FOUND = find_packages(include=ROOMS, exclude=["bench.codecs.demo.training"])

setup(packages=[f"vaebench.{name}" for name in FOUND])
