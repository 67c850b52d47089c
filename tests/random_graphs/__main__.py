"""Print the smallest model of a number that a pipeline still makes wrong: `python -m tests.random_graphs NUMBER"
" [PIPELINE]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import onnx

from tests.random_graphs.generate import shrink
from tests.random_graphs.judge import Raw, problem
from tests.random_graphs.pipelines import DEFAULT

seed, text = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else DEFAULT
with tempfile.TemporaryDirectory() as scratch:

    def reason(model: onnx.ModelProto) -> str:
        """What is wrong with the result; nothing for a model that does not run by itself."""
        try:
            raw = Raw(model, seed)
        except Exception:
            return ""
        return problem(raw, text, Path(scratch))

    smallest = shrink(seed, lambda model: bool(reason(model)))
    print(onnx.printer.to_text(smallest), reason(smallest), sep="\n")
