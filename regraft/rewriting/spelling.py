"""Whether ONNX knows an operator as a rule writes it."""

from __future__ import annotations

import functools

from regraft.errors import UnknownNameError
from regraft.ir import schema


@functools.cache
def fault(op: str, domain: str | None, operands: int, attrs: tuple[str, ...]) -> str:
    """Why no opset has `op` with so many operands and such attributes; empty where one has, or nothing is known.

    An attribute may be an input in some opsets, as `axes` of ReduceMean; an operand may be left out of a pattern.
    """
    if (domain or "") not in schema.DOMAINS:
        return ""
    versions = schema.history(op, domain)
    if not versions:
        own = f'an operator of your own is op["your.domain"].{op}'
        return f"{UnknownNameError('operator', op, schema.names(domain=domain))} ({own})"
    attributes, inputs = schema.vocabulary(op, domain)
    for name in attrs:
        if name not in attributes | inputs:
            return f"op.{op} has {UnknownNameError('attribute', name, attributes)}"
    most, least = max(one.max_input for one in versions), min(one.min_input for one in versions)
    if operands > most or operands + sum(name in inputs for name in attrs) < least:
        takes = f"{most}" if least == most else f"{least} to {most}"
        return f"op.{op} takes {takes} input{'s' * (takes != '1')}, not {operands}"
    return ""
