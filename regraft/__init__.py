"""Rewrite ONNX graphs for the compiler that refuses them, prove the result equal, show what changed.

What belongs here is the core: the model and its weights, surgery, patterns, the pass manager, verification, the diff and
the command line. The core knows no pass, frontend or target by name: it finds them through `regraft.registry`.
"""

from __future__ import annotations

from regraft.errors import RegraftError
from regraft.load import load
from regraft.model import Model
from regraft.save import save

__all__ = ["Model", "RegraftError", "load", "save"]
