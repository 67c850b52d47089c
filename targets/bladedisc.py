"""BladeDISC, through onnx2torch and `torch_blade.optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regraft.bundling.golden import Golden
from regraft.ir.model import Model
from regraft.targeting.tolerances import tolerances
from regraft.targets.onnx2torch import CLEAN, OPSET, TIDY, Onnx2Torch, open_dims, write_vectors


class BladeDisc(Onnx2Torch):
    """BladeDISC: a dynamic-shape compiler for GPUs and CPUs; open dimensions stay open, in 32 bits and in 16.

    The host makes position ids and masks: what exporters write for them, indices and logic, BladeDISC leaves to torch.
    Lookups and LayerNormalization stay; Gelu becomes Erf, because onnx2torch has none.
    16 bits are BladeDISC's own affair (`Config.enable_fp16`): both are compiled, compared and timed.
    """

    name = "bladedisc"
    pipeline = (
        f"{CLEAN},expose-position-ids,externalize-mask,externalize-gates,clamp-mask-value,simplify-mask,"
        "lower-attention{infinite=finite},lower-gelu{form=erf},"
        "lower-one-hot,lower-where,lower-logic{to=arithmetic},lower-split,lower-expand,lower-gemm,"
        f"{TIDY},convert-opset{{version={OPSET}}},{TIDY}"
    )
    sdk = "torch_blade"
    install = "build or pull it as github.com/alibaba/BladeDISC says: there is no wheel on PyPI"
    unchecked = (
        "torch_blade.optimize and all that comes after it: BladeDISC is not installed here",
        "the scripts with the torch that BladeDISC is built for: they ran here with the newest torch",
        "how much 16 bits move the outputs",
        "memory and speed on a GPU",
    )

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """The two modules; and golden vectors of a second size, where dimensions are open."""
        said, places = super().parameters(model, folder, golden), [""]
        if dims := open_dims(model, golden):
            others = {dim: size - 1 if size > 2 else size + 1 for dim, size in dims.items()}
            places.append(write_vectors(model, others, folder, "other-sizes")[0])
        fp32, fp16 = (tolerances(golden.outputs, golden.contract, precision) for precision in ("fp32", "fp16"))
        files = [
            {"name": "compiled-fp32.pt", "sizes": {}, "half": False, "compiled": fp32},
            {"name": "compiled-fp16.pt", "sizes": {}, "half": True, "compiled": fp16},
        ]
        return {**said, "golden": places, "files": files}
