"""AWS Inferentia 1: neuron-cc, through onnx2torch and `torch_neuron.trace`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from regraft.bundling.golden import Golden
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.targets.onnx2torch import CLEAN, TIDY, Onnx2Torch

OPSET = 13
"""The opset that onnx2torch recommends; it was tested with 9 to 16."""


class NeuronInf1(Onnx2Torch):
    """AWS Inferentia 1 (neuron-cc): embeddings and masks on the host, static shapes, matrix products in 16 bits.

    Every operator of the device's graph is in the list that was published for neuron-cc's ONNX frontend, which has no
    lookup, no logic, no LayerNormalization and no Gelu. That frontend was removed in neuron-cc 1.5.5; the way that is
    left goes through a torch module and `torch_neuron.trace`, whose own list has no `aten::erf`: Gelu is written by
    Tanh, within 4.73e-4.

    Matrix products run in 16 bits by the compiler's flag `--fp32-cast`, not by Casts in the graph: torch-neuron comes
    with torch 1.13, which multiplies no float16 on a CPU, so that such a module could neither be checked nor traced.

    `neuron-inf1{batch=8,sequence=64}` fixes the sizes that a model leaves open.
    """

    name = "neuron-inf1"
    pipeline = (
        f"{CLEAN},expose-position-ids,externalize-embeddings,externalize-mask,externalize-gates,clamp-mask-value,"
        "fold-attention-scale,"
        "lower-attention{infinite=finite},lower-layer-norm{form=mul},lower-gelu{form=tanh},lower-one-hot,lower-where,"
        "lower-logic{to=arithmetic},lower-split,lower-expand,lower-gemm,"
        f"{TIDY},convert-opset{{version={OPSET}}},{TIDY}"
    )
    sdk = "torch_neuron"
    install = "install torch-neuron and neuron-cc[tensorflow] from AWS's package index, with Python 3.7 to 3.10"
    unchecked = (
        "torch_neuron.trace and all that comes after it: torch-neuron and neuron-cc are not installed here",
        "the scripts in torch-neuron's Python and torch 1.13: they ran here with the newest torch",
        "how much --fp32-cast moves the outputs; they are held to 1e-2 on the device",
        "memory and speed on the device",
    )
    fp32_cast: Literal["matmult-fp16", "matmult-bf16", "matmult", "all-fp16", "all"] = option(
        "matmult-fp16", "neuron-cc's --fp32-cast: what it computes in 16 bits"
    )
    neuroncore_pipeline_cores: int = option(1, "NeuronCores that the layers are dealt out to")
    tolerance: float = option(1e-2, "absolute and relative error that the device may make")

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """The compiler's arguments; writes the io-config.json that `neuron-cc compile --io-config` takes."""
        ports = {f"{t.name}:0": [t.shape, str(np.dtype(t.dtype))] for t in model.graph.inputs}
        said = {"inputs": ports, "outputs": [f"{t.name}:0" for t in model.graph.outputs]}
        (folder / "io-config.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        arguments = ["--fp32-cast", self.fp32_cast]
        if self.neuroncore_pipeline_cores > 1:
            arguments += ["--neuroncore-pipeline-cores", str(self.neuroncore_pipeline_cores)]
        return {
            **super().parameters(model, folder, golden),
            "compiled": {name: {"atol": self.tolerance, "rtol": self.tolerance} for name in golden.outputs},
            "compiler_args": arguments,
            "files": [{"name": "compiled.pt", "sizes": {}}],
        }
