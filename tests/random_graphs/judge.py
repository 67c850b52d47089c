"""Whether a rewritten model is right, seen without regraft's verification: both models in ONNX Runtime, as they are.

Rounding differs where a pass may round elsewhere, and a random graph magnifies it without end. So a value may be as far
off as the model itself is when its inputs move by a little: an element that moves much is not judged.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime

import regraft
from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.pipelines.pipeline import Pipeline
from regraft.verification.contract import Contract
from regraft.verification.runtime import Session
from tests.random_graphs.generate import SIZES, feeds

JUMPS = {
    *("ArgMax", "ArgMin", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "If", "IsInf", "IsNaN", "Less"),
    *("LessOrEqual", "Mod", "NonZero", "QuantizeLinear", "Round", "Shrink", "Sign", "ThresholdedRelu", "TopK"),
}
"""Operators whose result jumps where what they read moves by a little."""

TIMES = 50.0
"""How many times farther off than the model moves by itself."""

Outputs = dict[str, Any]
HALVES = {"tensor(float16)": np.float16}
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16}


class Allowed(NamedTuple):
    """What is allowed: a part of the largest value, and what the model moves by when its numbers move by `step`.

    Attributes:
        lowered: whether dtypes may be lower, and what jumps may jump.
        half: whether outputs are halves, which end at 65504.
    """

    part: float
    step: float
    lowered: bool = False
    half: bool = False


SAME, ROUNDED, HALVED, LOWERED = Allowed(0, 0), Allowed(1e-5, 1e-6), Allowed(4e-3, 1e-3), Allowed(5e-2, 5e-3, True)


def allowed(pipeline: Pipeline, half: bool) -> Allowed:
    """What the contracts of its passes allow together.

    Args:
        half: whether the model has half precision, which ONNX Runtime's CPU kernels compute in float and round where a
            value leaves a run of nodes: the same nodes round elsewhere when one between them goes.
    """
    contracts: list[Contract] = [one.contract for one in pipeline]
    if any(c.lowers_dtype or c.bound or c.rtol or c.atol for c in contracts):
        return LOWERED._replace(half=any(getattr(one, "io", "") == "fp16" for one in pipeline))
    if half:
        return HALVED
    return ROUNDED if any(c.ulps for c in contracts) else SAME


class Raw:
    """A model before any rewrite, and what it gives."""

    def __init__(self, proto: onnx.ModelProto, seed: int):
        self.proto, self.seed = proto, seed
        self.valid = valid(proto)
        self.half = _half(proto)
        self.jumping = jumping(proto)
        self.runs: list[tuple[Outputs, Outputs]] = []
        self._session = session(proto.SerializeToString())
        for sizes in SIZES:
            given = feeds(proto, sizes, seed)
            self.runs.append((given, run(self._session, given)))

    def moved(self, given: Outputs, step: float) -> list[Outputs]:
        """What the model gives with its float inputs and weights moved by `step`, and with optimisations on."""
        found = []
        with contextlib.suppress(Exception):  # its optimisations fail on some models
            found.append(run(session(self.proto.SerializeToString(), optimize=True), given))
        for sign in (1, -1):
            near = onnx.ModelProto()
            near.CopyFrom(self.proto)
            random = np.random.default_rng([self.seed, 1 + sign])
            for tensor in near.graph.initializer:
                value = onnx.numpy_helper.to_array(tensor)
                if value.dtype.kind == "f" and value.ndim:
                    tensor.CopyFrom(onnx.numpy_helper.from_array(_near(value, step, random), tensor.name))
            inputs = {n: _near(v, step, random) if v.dtype.kind == "f" else v for n, v in given.items()}
            found.append(run(session(near.SerializeToString()), inputs))
        return found


def problem(raw: Raw, pipeline: str, folder: Path) -> str:
    """What is wrong with the result of a pipeline; empty if nothing. A refusal is no problem."""
    passes = Pipeline(pipeline)
    model = from_proto(raw.proto)
    try:
        regraft.run(model, passes)
    except RegraftError as error:
        cause = error.__cause__
        return "" if cause is None or isinstance(cause, RegraftError) else f"crash: {error}"
    except Exception as error:
        return f"crash: {type(error).__name__}: {error}"
    try:
        path = regraft.save(model.device, folder / "after.onnx")
    except RegraftError as error:
        return f"cannot be written: {error}"
    if raw.valid and not valid(onnx.load(path)):
        return f"invalid: {valid_error(onnx.load(path))}"
    names = {one.name for one in passes}
    for given, expected in raw.runs[: 1 if "set-shapes" in names else None]:
        try:
            found = _run(model, path, given)
        except Exception as error:
            if "convert-bf16" in names and re.search("Could not find an implementation|bfloat16", str(error)):
                return ""  # ONNX Runtime has few kernels of bfloat16; it writes Clip as a Where that takes none either
            return f"does not run: {' '.join(str(error).split())[:300]}"
        if reason := _difference(raw, given, expected, found, allowed(passes, raw.half)):
            return f"wrong: {reason}"
    return ""


def session(model: bytes | str, *, optimize: bool = False) -> onnxruntime.InferenceSession:
    """ONNX Runtime on a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(opened: onnxruntime.InferenceSession, given: Mapping[str, Any]) -> Outputs:
    """The outputs by name; what the model does not take is left out."""
    taken = {i.name: HALVES.get(i.type) for i in opened.get_inputs()}
    results = opened.run(None, {n: v.astype(taken[n] or v.dtype) for n, v in given.items() if n in taken})
    return dict(zip([o.name for o in opened.get_outputs()], results, strict=True))


def valid(proto: onnx.ModelProto) -> bool:
    """Whether onnx's full check passes."""
    return not valid_error(proto)


def valid_error(proto: onnx.ModelProto) -> str:
    """What onnx's full check says."""
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:
        return " ".join(str(error).split())
    return ""


def jumping(proto: onnx.ModelProto) -> set[str]:
    """The values that depend on an operator whose result jumps."""
    found: set[str] = set()
    for node in proto.graph.node:
        to_whole = any(a.name == "to" and a.i not in FLOATS for a in node.attribute)
        if node.op_type in JUMPS or to_whole or found.intersection(node.input):
            found.update(node.output)
    return found


def _half(proto: onnx.ModelProto) -> bool:
    """Whether anything of the model is in half precision."""
    given = {i.type.tensor_type.elem_type for i in proto.graph.input} | {w.data_type for w in proto.graph.initializer}
    attributes = [a for node in proto.graph.node for a in node.attribute]
    made = {a.i for a in attributes if a.name == "to"} | {a.t.data_type for a in attributes}
    return onnx.TensorProto.FLOAT16 in given | made


def _run(model: Model, path: Path, given: Outputs) -> Outputs:
    """What the written file gives, or, of a model that is split, host and device together."""
    if model.host is None:
        return run(session(str(path)), given)
    both = Session(model, threads=1)
    return both.run({port.name: given[port.name] for port in both.inputs})


def _difference(raw: Raw, given: Outputs, expected: Outputs, found: Outputs, limit: Allowed) -> str:
    """The first output that differs by more than is allowed."""
    others: list[Outputs] | None = None
    for name, new in found.items():
        old = expected[name]
        if isinstance(old, list):
            old, new = np.concatenate([*map(np.ravel, old)]), np.concatenate([*map(np.ravel, new)])
        if old.shape != new.shape:
            return f"{name}: shape {old.shape} became {new.shape}"
        if old.dtype != new.dtype and not limit.lowered:
            return f"{name}: {old.dtype} became {new.dtype}"
        if _bits(old, new) or not old.size:
            continue
        if limit.lowered and name in raw.jumping:
            continue
        if limit == SAME:
            return f"{name}: {old.ravel()[:4]} became {new.ravel()[:4]}"
        others = others or raw.moved(given, limit.step)
        if limit.half and old.dtype.kind == "f":
            with np.errstate(over="ignore"):
                old = old.astype(np.float16)
        if reason := _far(old, new, [other[name] for other in others], limit):
            return f"{name}: {reason}"
    return ""


def _far(old: Any, new: Any, others: list[Any], limit: Allowed) -> str:
    old, new, *near = (np.asarray(v).astype(np.float64) for v in (old, new, *others))
    steady = np.ones(old.shape, bool)
    for other in near:
        steady &= (np.isfinite(other) == np.isfinite(old)) & (np.isnan(other) == np.isnan(old))
    finite = np.isfinite(old)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.max([np.abs(other - old) for other in near], axis=0)
        peak = np.max(np.abs(old), where=finite, initial=1)
        bad = steady & finite & ~(np.abs(new - old) <= limit.part * peak + TIMES * moved)
        bad |= steady & ~finite & ~((new == old) | (np.isnan(new) & np.isnan(old)))
    if not bad.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    change = f"at {at} {old[at]} became {new[at]}, the model itself moves by {moved[at]:.3g}"
    return f"{int(bad.sum())} of {bad.size} values, {change}"


def _bits(old: Any, new: Any) -> bool:
    same = (old == new) | ((old != old) & (new != new))
    return bool(np.all(same) and (old.dtype.kind != "f" or np.all((np.signbit(old) == np.signbit(new)) | (old != old))))


def _near(value: Any, step: float, random: np.random.Generator) -> Any:
    return (value * (1 + step * random.choice([-1, 1], value.shape))).astype(value.dtype)
