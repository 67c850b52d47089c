"""Rewrite ONNX graphs for the compiler that refuses them, prove the result equal, show what changed.

What belongs here is the core, by package: the model in memory (`ir`) and in files (`files`), patterns and rules
(`rewriting`), passes and their manager (`pipelines`), shapes, folding and opsets, the parts of transformers that passes
ask for (`idioms`), half precision (`mixed_precision`), the work of host and device (`splitting`, `bundling`,
`runtime`), `verification`, `inspection` and the command line (`cli`). The core knows no pass, frontend or target by
name: it finds them through `pipelines.registry`.

The public names stand in `__init__.pyi`, which type checkers read as it is. Each is imported when it is first used, so
that the command line starts without onnx and numpy.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import warnings
from typing import Any

_SOURCES = os.path.dirname(os.path.dirname(__file__))
if os.path.isfile(os.path.join(_SOURCES, "passes", "__init__.py")):
    __path__.append(_SOURCES)  # in the repository passes, frontends, targets and models lie beside this folder

_RENAMED: dict[str, str] = {}
"""New names by old ones, which work for one more minor release."""


@functools.cache
def _homes() -> dict[str, str]:
    """The module that defines each public name."""
    import ast  # takes as long to import as all the rest

    with open(os.path.join(os.path.dirname(__file__), "__init__.pyi"), encoding="utf-8") as stub:
        imports = [node for node in ast.parse(stub.read()).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_homes())
    if name in _RENAMED:
        warnings.warn(f"regraft.{name} is now regraft.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[__name__], _RENAMED[name])
    if name not in _homes():
        raise AttributeError(f"module 'regraft' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(_homes()[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
