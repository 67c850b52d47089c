"""A model of BERT-large's size (1.34 GB in one file), loaded, converted to float16 and saved: time and peak memory.

    python -m tests.benchmarks.fp16 [--only regraft_full] [--out benchmarks-out]

Each converter runs in a process of its own, one at a time. The two that hold the model in memory need 10 GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.halving import CONVERTERS
from tests.benchmarks.measure import Limits, Run, run, settle

_MAKE = """
import sys
from regraft import save
from regraft.models import bert
save(bert.build(bert.LARGE), sys.argv[1], "inline")
"""
_CHECK = """
import sys
import onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 4
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""


def main() -> None:
    options = _options()
    present = [
        c for c in CONVERTERS if c.version() is not None and (not options.only or c.work.__name__ in options.only)
    ]
    rows = []
    with tempfile.TemporaryDirectory(prefix="regraft-fp16-", dir=options.scratch) as folder:
        source, target = Path(folder, "large.onnx"), Path(folder, "half.onnx")
        subprocess.run([sys.executable, "-c", _MAKE, source], check=True)
        size = source.stat().st_size
        for converter in present:
            settle(source, target)
            result = run(converter.command(str(source), str(target)), Limits(options.seconds))
            rows.append(_row(converter, result, target, size))
            print(rows[-1], flush=True)
    table.write(options.out, "fp16", f"BERT-large, {size / 1e9:.2f} GB, to float16", rows, {"bytes": size})


def _row(converter: Contestant, result: Run, target: Path, size: int) -> table.Row:
    row: table.Row = {"converter": f"{converter.name} ({converter.version()})"}
    if result.failure:
        return {**row, "note": result.failure}
    checked = subprocess.run([sys.executable, "-c", _CHECK, target], capture_output=True, text=True)
    return {
        **row,
        "seconds": round(result.seconds, 1),
        "peak MB": round(result.peak_bytes / 1e6),
        "peak × weights": round(result.peak_bytes / size, 2),
        "MB written": round(target.stat().st_size / 1e6),
        "note": checked.stderr.strip().splitlines()[-1] if checked.returncode else "",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a converter's function name; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--scratch", type=Path, help="a folder with 3 GB free; default: the system's")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="limit of one run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
