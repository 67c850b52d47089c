"""Print the page of real models: `python -m tests.real > docs/real-models.md`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.real.files import files, missing
from tests.real.nodes import TOOLS, left
from tests.real.page import write

if lacking := missing():
    sys.exit(f"no {', '.join(lacking)}: run `make real-models`")
versions = {tool.name: tool.version() for tool in TOOLS if tool.package}
counts = {}
with tempfile.TemporaryDirectory() as scratch:
    for number, (name, path) in enumerate(files().items()):
        folder = Path(scratch, str(number))
        folder.mkdir()
        counts[name] = {tool.name: left(tool, path, folder) for tool in TOOLS}
        print(name, counts[name], file=sys.stderr, flush=True)
print(write(counts, versions), end="")
