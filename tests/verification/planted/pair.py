"""A model and a rewrite of it, with what is wrong and what verification must say of it.

Models are written as onnx text without the header. A name of `NUMBERS` stands for that number, and a name among the
weights for that weight: each becomes an initializer of the models that read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper, parser, shape_inference

Mode = Literal["exact each", "exact final", "reassociation each", "reassociation final", "verify"]
MODES: tuple[Mode, ...] = ("exact each", "exact final", "reassociation each", "reassociation final", "verify")

NUMBERS: dict[str, Any] = {
    **{f"f{number}": np.float32(number) for number in (0, 1, 2, 3, 6, 16, 100)},
    **{f"i{number}": np.int64(number) for number in (0, 1, 2, 3, 7, 16, 100)},
    **{f"v{number}": np.int64([number]) for number in (0, 1, 2, 3, 4, 8, 16)},
    **{f"h{number}": np.float16(number) for number in (0, 1, 2, 3)},
    "half": np.float32(0.5),
    "hhalf": np.float16(0.5),
    "tiny": np.float32(1e-9),
    "lowest": np.float32(-1e4),
    "true": np.bool_(True),
    "false": np.bool_(False),
    "last": np.int64([-1]),
    "end": np.int64([np.iinfo(np.int64).max]),
}


@dataclass(frozen=True)
class Pair:
    """A model, and what a rewrite made of it.

    Attributes:
        told: what is wrong, or what was rightly done.
        right: whether the two compute the same function.
        same_bits: whether they give the same bits, too.
        open: the modes in which either answer is fine.
    """

    name: str
    told: str
    before: onnx.ModelProto
    after: onnx.ModelProto
    right: bool = False
    same_bits: bool = False
    open: tuple[Mode, ...] = ()

    def refused(self, mode: Mode) -> bool:
        """Whether verification must refuse the rewrite."""
        return not self.right or (mode.startswith("exact") and not self.same_bits)


def model(text: str, opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """The model that `text` says, with the weights and numbers that it reads; `!` begins what other domains it uses."""
    body, _, domains = text.partition("!")
    imports = "".join(f', "{name}" : {version}' for name, _, version in (one.partition(":") for one in domains.split()))
    made = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}{imports}]> agraph {body}')
    words = set(re.findall(r"\w+", body))
    known = {value.name for value in (*made.graph.input, *made.graph.initializer)}
    values = NUMBERS | weights
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values[name]), name) for name in values if name in words - known
    )
    return made


def wrong(
    name: str,
    told: str,
    before: str,
    after: str = "",
    *,
    opset: int = 17,
    weights: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] | None = None,
    open: tuple[Mode, ...] = (),
) -> Pair:
    """A wrong rewrite: the text `after`, the same one if there is none, where the weights that `changed` has differ."""
    return Pair(name, told, *_both(before, after or before, opset, weights or {}, changed or {}), open=open)


def right(
    name: str,
    told: str,
    before: str,
    after: str = "",
    *,
    opset: int = 17,
    weights: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] | None = None,
    same_bits: bool = False,
    open: tuple[Mode, ...] = (),
) -> Pair:
    """A right rewrite, written as a wrong one is."""
    both = _both(before, after or before, opset, weights or {}, changed or {})
    return Pair(name, told, *both, True, same_bits, open)


def _both(
    before: str, after: str, opset: int, weights: Mapping[str, Any], changed: Mapping[str, Any]
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Both models; an output that has no dimensions in the text has those that the model before gives it."""
    old, new = model(before, opset, **weights), model(after, opset, **{**weights, **changed})
    known = {value.name: value for value in shape_inference.infer_shapes(old).graph.output}
    for output in (*old.graph.output, *new.graph.output):
        if output.name in known and not output.type.tensor_type.HasField("shape"):
            output.CopyFrom(known[output.name])
    return old, new


def random(*shape: int, seed: int = 0, scale: float = 1.0, mean: float = 0.0, dtype: Any = np.float32) -> Any:
    """Weights that tell: none is zero or one."""
    numbers = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return (numbers * scale + mean).astype(dtype)


def put(values: Any, place: Any, value: Any) -> Any:
    """A copy of `values` with another value at one place."""
    copy = np.array(values)
    copy[place] = value
    return copy
