"""No false alarm: the default pipeline, verified on made inputs, refuses no case of the ONNX backend test set."""

from __future__ import annotations

import pytest

from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.models.backend_cases import read, sources
from regraft.pipelines.manager import run
from regraft.targeting.target import read_target

pytestmark = pytest.mark.slow
GROUPS = 32


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_is_refused(group: int) -> None:
    refused = {name: said for name in sorted(sources())[group::GROUPS] if (said := _refusal(name))}
    assert not refused, "\n".join(f"{name}: {said}" for name, said in refused.items())


def _refusal(name: str) -> str:
    """What the default pipeline says of a case where it refuses it; a case that loading refuses is none."""
    try:
        model = from_proto(read(name).model)
        passes = read_target("onnxruntime").passes(model, None)
    except RegraftError:
        return ""
    try:
        run(model, passes, verify="auto")
    except RegraftError as error:
        return str(error)
    return ""
