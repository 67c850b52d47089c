"""How often a diff without names pairs nodes as the record of the rewrite says.

    python -m tests.inspection.recorded_pairs [FOLDER ...]

prints, for each pipeline, the share of nodes that are paired, or left alone, as recorded: of the models in FOLDER, or
of those that the tests have.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import regraft
from regraft.errors import RegraftError
from regraft.inspection.align import Alignment
from regraft.ir.clone import clone
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines import history, manager
from regraft.targeting.target import read_target
from tests.benchmarks.contestants import CLEAN_UP

PIPELINES = {
    "clean up": f"infer-shapes,{CLEAN_UP}",
    "fuse": "fuse-layer-norm,fuse-gelu,fuse-attention,fuse-gemm",
    "lower": "lower-attention,lower-layer-norm,lower-gelu,lower-gemm,lower-div,lower-pow,lower-where,lower-softmax",
    "half precision": "convert-fp16",
    "opset": "convert-opset{version=22}",
    "onnxruntime": read_target("onnxruntime").pipeline,
}


class Agreement(NamedTuple):
    """Of the nodes of two models: all, and those whose partner, or want of one, is the recorded one."""

    nodes: int
    right: int


def name_nodes(model: Model) -> None:
    """Give every node a name of its own."""
    for number, node in enumerate(model.nodes()):
        node.name = f"node {number}"


def shuffle(model: Model, seed: int = 0) -> None:
    """Deal the names of nodes, and those of the values inside, to others of the model."""
    tensors = sorted({t for n in model.nodes() for t in (*n.inputs, *n.outputs) if t.name}, key=lambda t: t.name)
    ends = {*model.graph.inputs, *model.graph.outputs}
    for items in ([t for t in tensors if t not in ends], list(model.nodes())):
        names = [item.name for item in items]
        random.Random(seed).shuffle(names)
        for item, name in zip(items, names, strict=True):
            item.name = name


class Lineage:
    """What the record says became of each node of `before`, whose nodes have names of their own.

    Attributes:
        after: the node of the second model that a node stayed, if one.
    """

    def __init__(self, before: Model, after: Model):
        self._of: dict[str, frozenset[str]] = {}
        there = {node.name for node in before.nodes()}
        for change in (change for entry in history.read(after) for change in entry.changes):
            took = frozenset().union(*(self._of.get(name, {name}) for name in change.removed))
            self._of |= dict.fromkeys(set(change.added) - there, took)
            there = (there - set(change.removed)) | set(change.added)
        named = {node.name: node for node in after.nodes()}
        same = ((node, named.get(node.name)) for node in before.nodes() if node.name not in self._of)
        self.after = {old: new for old, new in same if new is not None and new.op == old.op}
        self.before = {new: old for old, new in self.after.items()}
        self._names = {node: node.name for node in (*before.nodes(), *after.nodes())}

    def agrees(self, old: Node | None, new: Node | None) -> bool:
        """Whether `old` stayed `new`, or took its place, perhaps with others; or one is gone, or new."""
        expected = self.after.get(old) if old else None, self.before.get(new) if new else None
        if old is None or new is None:
            return expected == (None, None)
        return expected == (new, old) or (
            expected == (None, None) and self._names[old] in self._of.get(self._names[new], ())
        )


def rewritten(model: Model, pipeline: str) -> Model | None:
    """What `pipeline` makes of a copy of `model`; None where it refuses."""
    after = clone(model)
    try:
        manager.run(after, pipeline)
    except RegraftError:
        return None
    return after


def agreement(before: Model, after: Model) -> Agreement:
    """How far the pairs found without names, and without the record, are those that the record says."""
    record = Lineage(before, after)
    shuffle(after)
    after.metadata.clear()
    for node in after.nodes():
        node.metadata = {}
    found = Alignment(before, after)
    olds, news = list(before.nodes()), list(after.nodes())
    right = sum(record.agrees(node, found.after.get(node)) for node in olds)
    right += sum(record.agrees(found.before.get(node), node) for node in news)
    return Agreement(len(olds) + len(news), right)


def models(folders: list[Path]) -> Iterator[Path]:
    yield from (path for folder in folders for path in sorted(folder.rglob("*.onnx")))


def main() -> None:
    folders = [Path(text) for text in sys.argv[1:]] or [Path(__file__).parents[1] / "artifacts"]
    totals = dict.fromkeys(PIPELINES, Agreement(0, 0))
    for path in models(folders):
        try:
            before = regraft.load(path)
        except RegraftError:
            continue
        name_nodes(before)
        for name, pipeline in PIPELINES.items():
            after = rewritten(before, pipeline)
            if after is not None:
                one = agreement(before, after)
                totals[name] = Agreement(totals[name].nodes + one.nodes, totals[name].right + one.right)
                if one.right < 0.98 * one.nodes:
                    print(f"  {name}  {path.name}: {one.right / one.nodes:.2%} of {one.nodes:,}", flush=True)
    for name, total in totals.items():
        print(f"{name:16}{total.right / max(total.nodes, 1):8.2%} of {total.nodes:,}")


if __name__ == "__main__":
    main()
