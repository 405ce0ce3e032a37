"""`python -m vaebench.bench.cli`."""

from . import main

main()
