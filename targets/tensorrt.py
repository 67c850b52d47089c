"""TensorRT, through `trtexec`: a strongly typed network, with an optimisation profile where shapes stay open."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from regraft.bundling.golden import Golden
from regraft.bundling.weights import file_name
from regraft.errors import TargetError
from regraft.inspection.census import operators
from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pipeline import Pipeline
from regraft.targeting.offline_target import OfflineTarget
from regraft.targeting.tolerances import tolerances

RAW = "trtexec"
"""The folder of the raw little-endian files that trtexec reads."""
ENGINE = "model.plan"


class Range(NamedTuple):
    """The sizes of a dimension that an engine is built for."""

    least: int
    best: int
    most: int


class TensorRt(OfflineTarget):
    """TensorRT 10 and later: precision as Casts in the graph, shapes open within ranges.

    A network is strongly typed, which TensorRT 11 makes the only way: what runs in half precision says the graph, so
    the pipeline converts it. Inputs become int32, which every version takes as it is; 64-bit ones are native from 10
    on, and were cast before.

    Dimensions that stay open need a range each, `tensorrt{ranges={batch:1:8:32,sequence:16:128:384}}`: the smallest
    size, the one to be fast at, the largest. `tensorrt{batch=8,sequence=128}` fixes them instead.

    The bundle has the golden vectors as trtexec reads them, raw, and its exact command line in `handoff.json`.
    """

    name = "tensorrt"
    pipeline = (
        "strip-training,strip-dropout,convert-opset{version=20,only=older,otherwise=keep},"
        "infer-shapes,normalize-conditions,fold-constants,"
        "eliminate-identity,eliminate-dead-code,simplify-mask,clamp-mask-value,fuse-layer-norm,fuse-gelu,"
        "narrow-integers{inputs=true,assume=inputs},eliminate-common-subexpressions,deduplicate-initializers,"
        "eliminate-dead-code,convert-fp16,infer-shapes"
    )
    command = "python build.py"
    unchecked = (
        "that TensorRT builds an engine of device.onnx, and what the engine computes: no TensorRT and no GPU here",
        "memory and speed of the engine",
    )
    precision: Literal["fp32", "fp16"] = option("fp16", "what the graph computes in, where that is safe")
    ranges: tuple[str, ...] = option((), "least, best and largest size of open dimensions, as in batch:1:8:32")

    def pipeline_for(self, model: Model) -> Pipeline:
        """The pipeline, in the precision asked for.

        Positions that the model counts go to the host.
        """
        pipeline = Pipeline(self.pipeline)
        if self.precision == "fp32":
            pipeline = pipeline.without("convert-fp16")
        if "CumSum" in operators(model):
            pipeline = pipeline.before("simplify-mask", "expose-position-ids")
        return pipeline

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """The tensors, their files, and the arguments of trtexec.

        Raises:
            TargetError: a dimension stays open and has no range, or the golden vectors lie outside of it; or a name
                that trtexec's arguments cannot hold.
        """
        (folder / RAW).mkdir()
        taken: set[str] = set()
        inputs = [_write(t, golden.device_inputs[t.name], "input", folder, taken) for t in model.graph.inputs]
        outputs = [_write(t, golden.outputs[t.name], "output", folder, taken) for t in model.graph.outputs]
        allowed = tolerances(golden.outputs, golden.contract, self.precision)
        arguments = ["--onnx=device.onnx", f"--saveEngine={ENGINE}", *self._shapes(model, golden)]
        return {
            "model": "device.onnx",
            "engine": ENGINE,
            "inputs": inputs,
            "outputs": outputs,
            "tolerances": allowed,
            "arguments": [*arguments, f"--loadInputs={_files(inputs)}"],
            "reference_arguments": [
                f"--loadRefOutputs={_files(outputs)}",
                "--accuracyAlgorithm=lInf",
                f"--accuracyThreshold={_largest(golden, allowed):.6g}",
            ],
        }

    def _shapes(self, model: Model, golden: Golden) -> list[str]:
        """The arguments of the optimisation profile; none where all shapes are fixed."""
        ranges = dict(map(_read_range, self.ranges))
        profile: dict[str, list[Range]] = {}
        for tensor in model.graph.inputs:
            given = np.shape(golden.device_inputs[tensor.name])
            if any(not isinstance(dim, int) for dim in tensor.shape or given):
                dims = zip(tensor.shape or [None] * len(given), given, strict=True)
                profile[tensor.name] = [_range(tensor, dim, size, ranges) for dim, size in dims]
        known = {dim for tensor in model.graph.inputs for dim in tensor.shape or ()}
        if unknown := sorted(ranges.keys() - known):
            raise TargetError(f"tensorrt: ranges name '{unknown[0]}', which is no open dimension of an input")
        if not profile:
            return []
        corners = {
            corner: {name: [getattr(one, field) for one in dims] for name, dims in profile.items()}
            for corner, field in (("min", "least"), ("opt", "best"), ("max", "most"))
        }
        used = {name: list(np.shape(golden.device_inputs[name])) for name in profile}
        return [
            *(f"--{corner}Shapes={_shown(shapes)}" for corner, shapes in corners.items()),
            f"--shapes={_shown(used)}",
        ]


def _read_range(text: str) -> tuple[str, Range]:
    name, *sizes = text.rsplit(":", 3)
    numbers = [int(size) for size in sizes if size.isdecimal()]
    if not name or len(numbers) != 3 or not 0 < numbers[0] <= numbers[1] <= numbers[2]:
        raise TargetError(f"tensorrt: range '{text}' is not NAME:LEAST:BEST:MOST, as in batch:1:8:32")
    return name, Range(*numbers)


def _range(tensor: Variable, dim: int | str | None, size: int, ranges: dict[str, Range]) -> Range:
    """The sizes of a dimension that has `size` in the golden vectors."""
    if isinstance(dim, int):
        return Range(dim, dim, dim)
    if dim not in ranges:
        fix = f"{dim}={size}" if dim else f"{tensor.name}={'x'.join(str(d or 'NAME') for d in tensor.shape or '?')}"
        name = dim or "NAME"
        raise TargetError(
            f"tensorrt: dimension '{name}' of input '{tensor.name}' is open; "
            f"fix it, tensorrt{{{fix}}}, or give its range, tensorrt{{ranges={{{name}:1:{size}:{4 * size}}}}}"
        )
    found = ranges[dim]
    if not found.least <= size <= found.most:
        raise TargetError(
            f"tensorrt: input '{tensor.name}' has {size} along '{dim}' in the golden vectors, outside of its range "
            f"{found.least} to {found.most}; give --inputs with a size in it"
        )
    return found


def _write(tensor: Variable, value: Any, kind: str, folder: Path, taken: set[str]) -> dict[str, Any]:
    """Write a golden vector as TensorRT has that tensor, and say where."""
    if any(character in tensor.name for character in ",'="):
        raise TargetError(f"tensorrt: the name of {kind} '{tensor.name}' holds one of , ' =, which trtexec cannot read")
    stem = file_name(f"{kind}.{tensor.name}", taken)
    taken.add(stem.lower())
    path = f"{RAW}/{stem}.bin"
    array = np.ascontiguousarray(value, np.dtype(tensor.dtype).newbyteorder("<"))
    (folder / path).write_bytes(array.tobytes())
    return {"name": tensor.name, "file": path, "dtype": np.dtype(tensor.dtype).name, "shape": list(array.shape)}


def _files(tensors: list[dict[str, Any]]) -> str:
    return ",".join(f"{one['name']}:{one['file']}" for one in tensors)


def _shown(shapes: dict[str, list[int]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, sizes))}" for name, sizes in shapes.items())


def _largest(golden: Golden, allowed: dict[str, dict[str, float]]) -> float:
    """The largest difference that any value of an output may have: trtexec knows one number for all."""
    peaks = {
        name: float(np.abs(np.asarray(value, np.float64)).max(initial=0.0)) for name, value in golden.outputs.items()
    }
    return max(one["atol"] + one["rtol"] * peaks[name] for name, one in allowed.items()) or 1e-6
