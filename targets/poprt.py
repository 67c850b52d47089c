"""PopRT, Graphcore's converter and runtime for the IPU, through its command line or its Python API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from regraft.bundling.golden import Golden
from regraft.errors import TargetError
from regraft.ir.model import Model
from regraft.packers.fits import read_shape
from regraft.packing.dialect import DOMAIN, UNPACK_INFO
from regraft.pipelines.options import option
from regraft.targeting.offline_target import OfflineTarget
from regraft.targeting.tolerances import Precision, tolerances

DEVICE, WITH_OPERATORS, CONVERTED = "device.onnx", "poprt.onnx", "converted.onnx"
TIMEOUT = 15_000
"""Microseconds that PopRT's PackRunner waits for more sequences, in its example."""


class PopRt(OfflineTarget):
    """PopRT 1.5: a static graph of opset 11 with 32-bit integers, which PopRT converts, compiles and runs.

    PopRT converts to opset 11 and to half precision itself, so the bundle's model is float32. What its own passes look
    for stays as they expect it: LayerNorm and GELU (by Erf) written out in the usual way, which it makes GroupNorm and
    Gelu of its own. A mask hides with -10000, which half precision holds.

    A model that was packed with dialect=poprt goes to PopRT with PopRT's own operators, and without the functions by
    which everything else computes them; `convert.py --online` runs it in PopRT's PackRunner, sequence by sequence.
    `pack-args` are forwarded to PopRT as they are: whoever gives them gets PopRT's packing, which changes the inputs;
    regraft does not compare what comes out of that.

    Facts: PopRT user guide 1.5.0 (October 2023, the last release).
    """

    name = "poprt"
    pipeline = (
        "strip-training,strip-dropout,lower-attention,convert-opset{version=17},infer-shapes,fold-constants,"
        "eliminate-identity,eliminate-dead-code,lower-gather-elements,lower-one-hot,simplify-gather,simplify-mask,clamp-mask-value,"
        "lower-einsum,fuse-layer-norm,fuse-gelu,lower-gelu,lower-layer-norm,lower-gemm,lower-trilu,lower-logic,"
        "narrow-integers{inputs=true,assume=inputs},convert-opset{version=11},fold-constants,eliminate-identity,"
        "eliminate-common-subexpressions,deduplicate-initializers,eliminate-dead-code,infer-shapes"
    )
    command = "python convert.py"
    unchecked = (
        "that PopRT converts device.onnx, that PopART compiles it, and what the IPU computes: no PopRT and no IPU here",
        "that it fits into the memory of one IPU",
        "packing: pack-args go to PopRT unread",
        "that PopRT's converter keeps Unpack and AttentionMask, which PopRT's example puts into a model behind it",
        "that PopRT's PackRunner fills unpack_info of a model that PopRT did not pack",
    )
    precision: Literal["fp32", "fp16"] = option("fp16", "what PopRT converts the model to")
    ipu_version: Literal["ipu2", "ipu21"] = option("ipu2", "ipu2: IPU-M2000 and Bow-2000; ipu21: C600")
    use: tuple[str, ...] = option((), "passes of PopRT's to add to its own choice, such as fused_attention")
    pack_args: tuple[str, ...] = option((), "KEY:VALUE for PopRT's packing, as in max_valid_num:50")

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """Shapes, precision, options, and the command line that does the same.

        Raises:
            TargetError: the name of an input cannot be written in `--input_shape`; or pack-args without a value, or of
                a model that is packed.
        """
        for tensor in model.graph.inputs:
            if "=" in tensor.name or any(character.isspace() for character in tensor.name):
                raise TargetError(
                    f"poprt: the name of input '{tensor.name}' does not fit into --input_shape NAME=SIZES"
                )
        shapes = {name: list(np.shape(value)) for name, value in golden.device_inputs.items()}
        pack = dict(map(_read_pair, self.pack_args))
        if pack and read_shape(model.metadata) is not None:
            raise TargetError("poprt: pack-args are for PopRT's own packing, and this model is packed; leave them out")
        given = WITH_OPERATORS if any(function.domain == DOMAIN for function in model.functions) else DEVICE
        precision: Precision = self.precision
        return {
            "model": DEVICE,
            "input_model": given,
            "converted": CONVERTED,
            "input_shape": shapes,
            "precision": self.precision,
            "ipu_version": self.ipu_version,
            "used_passes": list(self.use),
            "pack_args": pack,
            "pack_runner": _pack_runner(model),
            "token_outputs": _token_outputs(model),
            "outputs": {tensor.name: list(tensor.shape) for tensor in model.graph.outputs},
            "tolerances": tolerances(golden.outputs, golden.contract, precision),
            "command_line": self._command_line(given, shapes, pack),
        }

    def _command_line(self, given: str, shapes: dict[str, list[int]], pack: dict[str, str]) -> list[str]:
        """PopRT's command line; every option is written in full, since it reads abbreviations as ambiguous."""
        line = ["python", "-m", "poprt.cli", "--input_model", given, "--output_model", CONVERTED]
        line += ["--input_shape", *(f"{name}={','.join(map(str, sizes))}" for name, sizes in shapes.items())]
        line += ["--precision", self.precision, "--convert_version", "11", "--ipu_version", self.ipu_version]
        line += ["--passes", ",".join(self.use)] if self.use else []
        line += ["--pack_args", *(f"{key}={value}" for key, value in pack.items())] if pack else []
        return [*line, "--export_popef"]


def _pack_runner(model: Model) -> dict[str, Any] | None:
    """What PopRT's PackRunnerConfig takes for a model that is packed for it; None where none is."""
    shape = read_shape(model.metadata)
    if shape is None or not shape.aligned:
        return None
    dynamic = next(tensor.name for tensor in model.graph.inputs if tensor.name != UNPACK_INFO)
    return {"timeout_microseconds": TIMEOUT, "max_valid_num": shape.sequences, "dynamic_input_name": dynamic}


def _token_outputs(model: Model) -> list[str]:
    """Outputs that have something for each token: what stands there behind a sequence means nothing."""
    if model.host is None:
        return []
    tokens = {tensor.shape[1] for tensor in model.host.model.graph.inputs if len(tensor.shape or ()) > 1}
    return [tensor.name for tensor in model.host.outputs if tokens.intersection((tensor.shape or ())[1:2])]


def _read_pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition(":")
    if not key or not value:
        raise TargetError(f"poprt: pack-args '{text}' is not KEY:VALUE, as in max_valid_num:50")
    return key, value
