"""Run the whole matrix, an artifact a process, and print its page."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product

from tests.matrix.artifacts import ARTIFACTS, OPSETS
from tests.matrix.cells import run
from tests.matrix.page import write

if __name__ == "__main__":
    cells = [*product(ARTIFACTS, OPSETS)]
    with ProcessPoolExecutor() as pool:
        outcomes = dict(zip(cells, pool.map(run, *zip(*cells, strict=True)), strict=True))
    print(write(outcomes), end="")
    failures = [one.failure for row in outcomes.values() for one in row.values() if one.failure]
    print("\n".join(failures), file=sys.stderr)
    sys.exit(bool(failures))
