"""A stand-in for BladeDISC: traces, and says that all is one cluster."""

from __future__ import annotations

import os
from types import SimpleNamespace

import torch

__version__ = "0.2.0"
_active = []


class Config:
    def __init__(self):
        self.enable_fp16 = False

    def __enter__(self):
        _active.append(self)
        return self

    def __exit__(self, *error):
        _active.pop()


def optimize(model, allow_tracing=None, model_inputs=None):
    assert allow_tracing, "fx modules cannot be scripted"
    if os.environ.get("TORCH_BLADE_DEBUG_LOG") == "on":
        os.makedirs("dump_dir", exist_ok=True)
        name = "half" if _active[-1].enable_fp16 else "full"
        open(os.path.join("dump_dir", f"graph.{name}.txt"), "w").close()
    return torch.jit.trace(model, model_inputs, check_trace=False)


mlir = SimpleNamespace(num_engines=lambda module: 1, num_compiled_nodes=lambda module: 100)
