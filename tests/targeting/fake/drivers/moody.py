"""Stands for a compiler: copies the model, or fails in the way that its option `mood` says."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import onnxruntime


def version():
    return os.environ.get("MOODY_VERSION", "2.5")


def compile(model, folder, options):
    mood = options["mood"]
    print("compiling", flush=True)
    if mood == "refuses":
        raise RuntimeError("Op not support:{'IsNaN'}\n  at node 7")
    if mood == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mood == "quits":
        raise SystemExit(3)
    if mood == "hangs":
        time.sleep(60)
    if mood == "eats":
        held = [np.ones(1 << 22) for _ in range(64)]
        time.sleep(60 + len(held))
    if mood == "prints":
        os.write(1, b"not the answer\n")
    shutil.copy(model, Path(folder, "model.onnx"))
    if mood == "spoils":
        Path(model).write_bytes(b"")
    return {"ops": 7, "operators": {"Copy": 7}}


def load(folder, options):
    session = onnxruntime.InferenceSession(str(Path(folder, "model.onnx")), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(arrays):
        results = dict(zip(names, session.run(None, arrays), strict=True))
        if options["mood"] == "wrong":
            results = {name: value * 1.01 for name, value in results.items()}
        if options["mood"] == "forgets":
            results = {}
        return results

    return run
