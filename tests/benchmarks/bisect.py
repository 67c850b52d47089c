"""How bisect and reduce do on planted faults: `python -m tests.benchmarks.bisect [NODES ...]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from regraft.bisection.bisect import bisect
from regraft.bisection.checks import AfterPipeline, Case, OutputsCheck
from regraft.bisection.reduce import reduce
from regraft.files.saving import to_proto
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline
from regraft.verification.inputs import make_inputs
from tests.bisection import faults

PARTS = {"operand": "layer_norm", "epsilon": "layer_norm", "constant": "duplicates", "bias": "self/Add"}
OF_BERT = ("axis", "bias")
FOREIGN = {"operand": faults.surgeon_pass, "epsilon": faults.message_pass}


class Row(NamedTuple):
    """What became of one fault."""

    right: bool
    runs: int
    seconds: float
    nodes: int
    size: int
    reduce_runs: int
    reduce_seconds: float


def planted(kind: str, nodes: int) -> Iterator[tuple[Model, Pass, str]]:
    """A model, a pass that gets one place wrong, and that place."""
    for name, fault in faults.FAULTS.items():
        layers = max(1, round((nodes - 51) / 109))
        model = bert.build(bert.Size(layers=layers)) if name in OF_BERT else chain.build(nodes)
        found = faults.places(model, fault.operator, PARTS.get(name, ""))
        for at in dict.fromkeys([found[len(found) * 2 // 3], found[-1]]):
            if kind == "foreign" and name in FOREIGN:
                yield model, FOREIGN[name](at), at
            elif kind != "foreign":
                make: Callable[..., Pass] = faults.rule_pass if kind == "rules" else faults.node_pass
                yield model, make(fault, at), at


def measure(model: Model, one: Pass, at: str) -> Row | None:
    """Find a fault and reduce it; None where the outputs of the model do not show it."""
    found = bisect(model, Pipeline("eliminate-identity", one, "eliminate-dead-code"), OutputsCheck(trials=1))
    if found.verdict != "found":
        return None
    left = reduce(Case(model, samples=[make_inputs(model)]), AfterPipeline(Pipeline(one), OutputsCheck()))
    size = len(to_proto(left.case.model).SerializeToString())
    right = found.nodes[:1] == (at,)
    return Row(right, found.runs, found.seconds, left.nodes, size, left.runs, left.seconds)


def main(sizes: list[int]) -> None:
    """Print a row of docs/bisect.md for each kind of pass and size."""
    for nodes in sizes:
        for kind in ("rules", "nodes", "foreign"):
            rows = [row for row in (measure(*each) for each in planted(kind, nodes)) if row]
            right = sum(row.right for row in rows)
            cells = [f"{min(column):.3g} to {max(column):.3g}" for column in list(zip(*rows, strict=True))[1:]]
            print("|", " | ".join([str(nodes), kind, f"{right} of {len(rows)}", *cells]), "|", flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 500, 2000])
