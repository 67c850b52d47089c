"""What the tests of passes share: graphs written as text, and passes applied to them under the eyes of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from regraft import testing
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Pass
from regraft.testing import Applied

parse_graph = testing.parse
apply_pass = partial(testing.apply, bits=True)


def lower_by(model: Model, one: Pass, inputs: dict[str, Any] | None = None) -> Applied:
    """Apply `one`; outputs stay within its contract."""
    return testing.apply(model, one, inputs=inputs)


@pytest.fixture(scope="session")
def parse() -> Callable[..., Model]:
    return parse_graph


@pytest.fixture(scope="session")
def apply() -> Callable[..., Applied]:
    return apply_pass


@pytest.fixture(scope="session")
def lower() -> Callable[..., Applied]:
    return lower_by
