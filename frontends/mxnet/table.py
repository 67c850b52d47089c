"""The converters: what each operator of MXNet becomes."""

from __future__ import annotations

from collections.abc import Callable

from regraft.rewriting.term import Term

from .call import Call

Converter = Callable[[Call], Term]

CONVERTERS: dict[str, Converter] = {}
"""By the operator's name in symbol.json."""


def converts(*ops: str) -> Callable[[Converter], Converter]:
    """Register the converter of `ops`."""

    def register(converter: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(ops, converter))
        return converter

    return register
