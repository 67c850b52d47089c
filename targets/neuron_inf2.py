"""AWS Inferentia 2 and Trainium: neuronx-cc, through onnx2torch and `torch_neuronx.trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from regraft.bundling.golden import Golden
from regraft.errors import TargetError
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.targeting.tolerances import Precision, tolerances
from regraft.targets.onnx2torch import CLEAN, OPSET, TIDY, Onnx2Torch, faithful, open_dims, write_vectors
from regraft.verification.contract import exact

PRECISIONS: dict[str, Precision] = {"none": "fp32", "fp16": "fp16", "bf16": "bf16"}


class NeuronInf2(Onnx2Torch):
    """AWS Inferentia 2 and Trainium (neuronx-cc): embeddings and masks on the host, a compiled module for each bucket.

    LayerNormalization stays; Gelu becomes Erf, which onnx2torch takes. Precision is the compiler's affair:
    `--auto-cast matmult --auto-cast-type fp16` computes matrix products in 16 bits, and the module stays one that a
    CPU runs in 32, where it is held against the golden vectors. fp16 has three more bits than bf16 at the same speed,
    and the products of an encoder stay far below its limit; where they do not, `cast=bf16`.

    neuronx-cc compiles static shapes. Dimensions that stay open get their sizes from buckets,
    `neuron-inf2{batch=1,buckets={sequence:128,sequence:512}}`; several dimensions of one bucket are written
    `batch:4:sequence:128`. Each bucket is a call of `torch_neuronx.trace` and a file of its own, rather than one
    `bucket_model_trace`: every release has the former, and the host, which fills inputs up anyway, picks the file.
    The price is that every bucket that runs holds its weights on the device.
    """

    name = "neuron-inf2"
    pipeline = (
        f"{CLEAN},expose-position-ids,externalize-embeddings,externalize-mask,externalize-gates,clamp-mask-value,"
        "fold-attention-scale,"
        "lower-attention{infinite=finite},lower-gelu{form=erf},lower-one-hot,lower-where,lower-logic{to=arithmetic},"
        f"lower-split,lower-expand,lower-gemm,{TIDY},convert-opset{{version={OPSET}}},{TIDY}"
    )
    sdk = "torch_neuronx"
    install = "install torch-neuronx and neuronx-cc from AWS's package index"
    unchecked = (
        "torch_neuronx.analyze, torch_neuronx.trace and all that comes after them: they are not installed here",
        "the scripts with torch-neuronx's own torch: they ran here with the newest torch",
        "how much the compiler's casts move the outputs",
        "memory and speed on the device",
    )
    cast: Literal["fp16", "bf16", "none"] = option("fp16", "what the compiler casts matrix products to")
    buckets: tuple[str, ...] = option((), "sizes of open dimensions, a compiled module each, as in sequence:128")
    optlevel: Literal[1, 2, 3] = option(2, "neuronx-cc's --optlevel")

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """The compiler's arguments and the buckets, each with golden vectors of its size.

        Raises:
            TargetError: a dimension stays open and no bucket names it, or a bucket names another.
        """
        arguments = ["--model-type", "transformer", "--optlevel", str(self.optlevel)]
        if self.cast != "none":
            arguments += ["--auto-cast", "matmult", "--auto-cast-type", self.cast]
        said = super().parameters(model, folder, golden)
        files = [self._file(model, sizes, folder, golden) for sizes in self._sizes(open_dims(model, golden))]
        return {**said, "compiler_args": arguments, "files": files}

    def _sizes(self, dims: dict[str, int]) -> list[dict[str, int]]:
        """The sizes of the open dimensions in each bucket; nothing, once, where none is open."""
        buckets = [_read_bucket(text) for text in self.buckets] or [{}]
        for sizes in buckets:
            if unknown := sorted(sizes.keys() - dims.keys()):
                raise TargetError(f"{self.name}: a bucket names '{unknown[0]}', which is no open dimension of an input")
            if missing := sorted(dims.keys() - sizes.keys()):
                raise TargetError(
                    f"{self.name}: dimension '{missing[0]}' is open; fix it, {self.name}{{{missing[0]}=1}}, "
                    f"or give it buckets, {self.name}{{buckets={{{missing[0]}:128,{missing[0]}:512}}}}"
                )
        return buckets

    def _file(self, model: Model, sizes: dict[str, int], folder: Path, golden: Golden) -> dict[str, Any]:
        """A compiled module: its file, its sizes, its vectors and tolerances."""
        name, place, outputs, allowed = "compiled", "", golden.outputs, faithful(golden)
        if sizes:
            name = "-".join(["compiled", *(f"{dim}{size}" for dim, size in sizes.items())])
            place, outputs = write_vectors(model, sizes, folder, name)
            allowed = tolerances(outputs, exact)
        return {
            "name": f"{name}.pt",
            "sizes": sizes,
            "golden": place,
            "tolerances": allowed,
            "compiled": tolerances(outputs, golden.contract, PRECISIONS[self.cast]),
        }


def _read_bucket(text: str) -> dict[str, int]:
    parts = text.split(":")
    sizes = dict(zip(parts[::2], parts[1::2], strict=False))
    if len(parts) % 2 or not all(size.isdecimal() and int(size) for size in sizes.values()):
        raise TargetError(f"neuron-inf2: bucket '{text}' is not NAME:SIZE, as in sequence:128 or batch:4:sequence:128")
    return {name: int(size) for name, size in sizes.items()}
