"""A stand-in for torch-neuronx."""

from __future__ import annotations

import os

from placed import compiled

__version__ = "2.9.0"


def analyze(func, example_inputs):
    left = os.environ.get("FAKE_UNSUPPORTED")
    return {
        "neuronx_cc_version": "2.21",
        "support_percentage": "99.00%" if left else "100.00%",
        "unsupported_operators": [{"kind": left, "failureAt": "neuronx-cc", "call": ""}] if left else [],
    }


def trace(func, example_inputs, *, compiler_workdir=None, compiler_args=None):
    assert "--auto-cast" in compiler_args, compiler_args
    return compiled(func, example_inputs, compiler_workdir)
