"""Every folder of code is a package below `vaebench`; pyproject.toml holds all else."""

import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = [pattern for room in ("bench", "metrics", "reports") for pattern in (room, f"{room}.*")]
FOUND = find_packages(include=ROOMS)


class FreshBuild(build_py):
    """Packs what is in the tree now; setuptools would also pack what an earlier build left."""

    def run(self) -> None:
        """Build, without what is in build/."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(packages=[f"vaebench.{name}" for name in FOUND], cmdclass={"build_py": FreshBuild})
