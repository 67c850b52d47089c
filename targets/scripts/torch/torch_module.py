"""device.onnx as a torch module, by onnx2torch, which a trace can follow. Needs torch, onnx and onnx2torch.

onnx2torch hands the sizes of a Reshape and the places of a Slice to its modules as tensors. A trace then holds
arithmetic on whole numbers, which compilers leave on the host, and the sizes of the example where a shape is computed.
Here such operands become numbers in the module, and shapes are read in a way that a trace keeps.
"""

from __future__ import annotations

import collections
import importlib
import sys
import types
import warnings

import golden
from torch_steps import torch

onnx = golden.need("onnx", "pip install 'onnx<1.19'")
GIBIBYTE = 2**30
LARGEST = 2**31 - 1
"""Ends of slices from here on mean the end of the axis."""


def load(path, example=None):
    """The module of the ONNX file at `path`: tensors in, in the order of its inputs; a tensor or several out.

    Args:
        example: inputs whose shapes are the only ones that the module is for; without it shapes may vary.

    Raises:
        NotImplementedError: onnx2torch has no converter for an operator.
    """
    convert = _onnx2torch().convert
    model = onnx.load(str(path))
    for place, node in enumerate(model.graph.node):  # of two nodes of one name onnx2torch may lose one
        node.name = f"{node.op_type}_{place}"
    _plainly(model.graph)
    # Shape inference of a message over 2 GiB needs the file, whose nodes may then keep their names.
    source = model if model.ByteSize() < 2 * GIBIBYTE else str(path)
    module = convert(source).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    if example is not None:
        fix_shapes(module, example)
    settle(module)
    return module


def trace(module, example):
    """The module traced on `example`, with what else the trace warns of kept quiet."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module, tuple(example), check_trace=False)


def operators(graph):
    """How often each operator stands in a TorchScript graph; what only holds values together is left out."""
    kinds = (node.kind() for node in graph.nodes())
    return collections.Counter(kind for kind in kinds if not kind.startswith("prim::"))


def settle(module):
    """Put constant operands into the modules of `module` (a `torch.fx.GraphModule`) that take them as tensors."""
    for node in list(module.graph.nodes):
        if node.op != "call_module":
            continue
        old = module.get_submodule(node.target)
        kind = type(old).__name__
        values = [_constant(module, operand) for operand in node.args]
        more = {name: _constant(module, operand) for name, operand in node.kwargs.items()}
        if kind in FOLLOWING:
            new, taken = FOLLOWING[kind](old), node.args
        elif kind == "OnnxGather" and values[0] is not None and values[1] is None and old._axis == 0:
            new, taken = Lookup(values[0]), node.args[1:]
        elif kind in SETTLED and all(value is not None for value in (*values[1:], *more.values())):
            new, taken, node.kwargs = SETTLED[kind](old, *values[1:], **more), node.args[:1], {}
        else:
            continue
        module.add_submodule(node.target, new)
        node.args = tuple(taken)
    module.graph.eliminate_dead_code()
    module.recompile()


def fix_shapes(module, example):
    """Put the numbers that follow from the shapes of `example` alone into `module`."""
    values = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, node):
            values[node] = super().run_node(node)
            return values[node]

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of modules that are replaced after this
        Recorder(module).run(*example)
    known = set()
    for node in list(module.graph.nodes):
        kind = type(module.get_submodule(node.target)).__name__ if node.op == "call_module" else node.op
        if kind == "get_attr" or kind == "OnnxConstant":
            known.add(node)
        elif kind == "OnnxShape" or (node.args and all(operand in known for operand in node.all_input_nodes)):
            known.add(node)
            name = f"known_{len(known)}"
            module.register_buffer(name, values[node].clone())
            with module.graph.inserting_before(node):
                constant = module.graph.get_attr(name)
            node.replace_all_uses_with(constant)
            known.add(constant)
    module.graph.eliminate_dead_code()
    module.recompile()


class Shape(torch.nn.Module):
    """The sizes of a tensor, as a tensor that a trace knows to follow from it."""

    def __init__(self, old):
        super().__init__()
        self.part = slice(old._start, old._end)

    def forward(self, x):
        sizes = x.shape[self.part]  # numbers, but tensors within a trace
        sizes = [(size if isinstance(size, torch.Tensor) else torch.tensor(size)).reshape(1) for size in sizes]
        return torch.cat(sizes) if sizes else torch.zeros(0, dtype=torch.int64)


class Range(torch.nn.Module):
    """Numbers up to one that a trace knows to be computed."""

    def __init__(self, old):
        super().__init__()

    def forward(self, start, limit, delta):
        return torch.arange(start, limit, delta, dtype=limit.dtype)


class Lookup(torch.nn.Module):
    """Rows of a table."""

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, indices):
        if self.table.dim() != 2:
            return self.table[indices.long()]
        return torch.nn.functional.embedding(indices.long(), self.table)


class Reshape(torch.nn.Module):
    """Reshape to known sizes, of which 0 means the size that is there."""

    def __init__(self, old, sizes):
        super().__init__()
        self.sizes = sizes.tolist()

    def forward(self, x):
        return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(self.sizes)])


class Slice(torch.nn.Module):
    """Part of a tensor, along known axes."""

    def __init__(self, old, starts, ends, axes=None, steps=None):
        super().__init__()
        axes = list(range(len(starts))) if axes is None else axes.tolist()
        steps = [1] * len(axes) if steps is None else steps.tolist()
        self.parts = list(zip(axes, starts.tolist(), ends.tolist(), steps))

    def forward(self, x):
        for axis, start, end, step in self.parts:
            axis %= x.dim()
            if step < 0:
                x, start, end, step = x.flip(axis), -start - 1, -end - 1, -step
            x = x[(slice(None),) * axis + (slice(start, end if abs(end) < LARGEST else None, step),)]
        return x


class Pick(torch.nn.Module):
    """One place of an axis, or several."""

    def __init__(self, old, indices):
        super().__init__()
        self.axis, self.index = old._axis, indices.tolist() if indices.dim() == 0 else None
        self.register_buffer("indices", indices.long())

    def forward(self, x):
        if self.index is not None:
            return x.select(self.axis, self.index)
        if self.indices.dim() == 1:
            return x.index_select(self.axis, self.indices % x.shape[self.axis])
        return x[(slice(None),) * (self.axis % x.dim()) + (self.indices,)]


class Squeeze(torch.nn.Module):
    """A tensor without known axes of size 1."""

    def __init__(self, old, axes=None):
        super().__init__()
        self.axes = None if axes is None else axes.tolist()

    def forward(self, x):
        if self.axes is None:
            return x.squeeze()
        for axis in sorted((axis % x.dim() for axis in self.axes), reverse=True):
            x = x.squeeze(axis)
        return x


class Reciprocal(torch.nn.Module):
    """1 / x as a power, which more compilers take."""

    def __init__(self, old):
        super().__init__()

    def forward(self, x):
        return x**-1.0


FOLLOWING = {"OnnxShape": Shape, "OnnxRange": Range}
"""By onnx2torch's modules those that stand for them whatever their operands are."""

SETTLED = {
    "OnnxReshape": Reshape,
    "OnnxSlice": Slice,
    "OnnxGather": Pick,
    "OnnxSqueezeDynamicAxes": Squeeze,
    "OnnxReciprocal": Reciprocal,
}
"""The same, for operands that are constants."""


def _constant(module, operand):
    """The tensor that an operand stands for; None where it is computed."""
    if operand.op == "get_attr":
        owner, _, name = operand.target.rpartition(".")
        return getattr(module.get_submodule(owner), name)
    value = getattr(module.get_submodule(operand.target), "value", None) if operand.op == "call_module" else None
    return value if isinstance(value, torch.Tensor) and not operand.args else None


def _plainly(graph):
    """Write what onnx2torch refuses in a way that it takes."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        while node.input and not node.input[-1]:
            del node.input[-1]
        if node.op_type == "Clip" and len(node.input) == 3 and not node.input[1]:
            node.op_type = "Min"
            del node.input[1]
        if node.op_type == "Reshape":
            shape = constants.get(node.input[1])
            if shape is None or 0 not in onnx.numpy_helper.to_array(shape):  # allowzero matters to empty tensors alone
                kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
                del node.attribute[:]
                node.attribute.extend(kept)


def _onnx2torch():
    """onnx2torch; without torchvision where that does not fit torch, for it serves operators of detection alone."""
    try:
        importlib.import_module("torchvision")
    except Exception:  # a build for another torch fails in ways of its own
        stub = types.ModuleType("torchvision")
        stub.ops = types.ModuleType("torchvision.ops")
        stub.ops.roi_align = None
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules.update({"torchvision": stub, "torchvision.ops": stub.ops})
    return golden.need(
        "onnx2torch", "pip install --no-deps onnx2torch==1.5.15"
    )  # torchvision would bring another torch
