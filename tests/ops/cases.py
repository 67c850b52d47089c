"""ONNX's test cases of one operator, for holding traits against ONNX Runtime."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

from regraft.errors import RegraftError
from regraft.models import backend_cases
from regraft.models.backend_cases import Case
from regraft.ops import traits
from regraft.runtime import Session

NAMES = {name: found for name, found in vars(traits).items() if isinstance(found, frozenset)}


@cache
def cases() -> dict[str, list[str]]:
    """Names of the cases of one node that reads what the caller gives, by operator."""
    found = defaultdict(list)
    for name, source in backend_cases.sources().items():
        if not name.startswith("node/") or source.model is None:
            continue
        nodes = source.model.graph.node
        if len(nodes) == 1 and not nodes[0].domain and nodes[0].op_type in set().union(*NAMES.values()):
            found[nodes[0].op_type].append(name)
    return found


def of(operators: frozenset[str]) -> list[Any]:
    return [pytest.param(op, id=op) for op in sorted(operators)]


def each(op: str) -> list[tuple[Case, Session, list[np.ndarray]]]:
    """The cases that ONNX Runtime runs, and their inputs as the node has them; None for one that is left out."""
    made = []
    for name in cases()[op]:
        case = backend_cases.read(name)
        try:
            session = Session(case.model, threads=1)
        except RegraftError:
            continue
        made.append((case, session, [np.asarray(v) if isinstance(v, np.generic) else v for v in case.runs[0][0]]))
    assert made, f"no case of {op} runs"
    return made


def run(session: Session, case: Case, values: list[Any]) -> list[np.ndarray]:
    names = [info.name for info in case.model.graph.input]
    return list(session.run(dict(zip(names, values, strict=True))).values())


def is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind != "O"


def opened(case: Case) -> Session:
    """The case with inputs and outputs of any shape."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.ClearField("shape")
    return Session(model, threads=1)


def bits(array: np.ndarray) -> list[bytes]:
    return [element.tobytes() for element in np.ascontiguousarray(array).reshape(-1)]
