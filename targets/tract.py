"""tract, an engine in Rust, for the CPU."""

from __future__ import annotations

from regraft.targeting.compiler import Compiler


class Tract(Compiler):
    """tract, for the CPU; it runs on one thread."""

    name = "tract"
    package = "tract"
    versions = ">=0.23,<0.24"
    install = "pip install 'regraft[tract]'"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
        "narrow-integers,simplify-mask,fold-constants,deduplicate-initializers,eliminate-common-subexpressions,"
        "eliminate-dead-code"
    )
