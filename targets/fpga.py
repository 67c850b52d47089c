"""FPGA flows: a transformer as a chain of stages, each a model with its weights as arrays and vectors to test with."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from regraft.bundling.golden import Golden
from regraft.errors import TargetError
from regraft.ir.model import Model
from regraft.legality.profile import Profile, read_profile
from regraft.legality.share import share
from regraft.legality.verdict import judge
from regraft.pipelines.options import option
from regraft.splitting.stage_labels import ORDER
from regraft.splitting.stages import stages
from regraft.targeting.offline_target import OfflineTarget
from regraft.targeting.tolerances import SHARES, tolerances

_WHOLE = (
    "strip-training,strip-dropout,lower-attention,convert-opset{version=20},infer-shapes,fold-constants,"
    "eliminate-identity,eliminate-dead-code,expose-position-ids,externalize-embeddings,externalize-mask,simplify-mask,"
    "lower-einsum,fuse-layer-norm,fuse-gelu"
)
_FLOWS = {
    "hls": "",
    "hls4ml": ",lower-layer-norm,lower-pow,lower-gelu{form=tanh},lower-pow,lower-reduce-mean{form=matmul},lower-gemm",
    "finn": ",lower-gelu{form=erf},lower-gemm,lower-pow",
}
_TIDY = (
    ",lower-expand,fold-constants,eliminate-identity,eliminate-common-subexpressions,deduplicate-initializers,"
    "eliminate-dead-code,infer-shapes"
)


def _passes(flow: str, per: str) -> str:
    """The pipeline of a flow: layers are told before means become products, which look like a feed-forward."""
    return f"{_WHOLE},split-layers{{per={per}}}{_FLOWS[flow]}{_TIDY}"


class Fpga(OfflineTarget):
    """Stages of a transformer for kernels by hand (HLS), hls4ml or FINN; embeddings and masks stay on the host.

    | flow | what a stage is made of |
    |---|---|
    | `hls` | MatMul, Add, Softmax, LayerNormalization, Gelu and what moves data: a kernel each |
    | `hls4ml` | what hls4ml's ONNX converter has handlers for, as far as it can be; its roots of LayerNorm cannot |
    | `finn` | what FINN's branch dev makes hardware layers of: all of an encoder layer |

    The bundle has for each stage its model, its weights as the graph has them and transposed, its inputs and outputs
    on the golden vectors, multiply-accumulates and bytes. `replay.py` runs the chain, in which a simulator can take the
    place of a stage: it is handed an `.npz` and hands one back.

    Everything is float32: quantizing is the user's, and the golden vectors say by how much it is off.
    """

    name = "fpga"
    pipeline = _passes("hls", "block")
    command = "python replay.py"
    flow: Literal["hls", "hls4ml", "finn"] = option("hls", "kernels by hand, hls4ml, or FINN")
    per: Literal["layer", "block"] = option("block", "stages for whole layers, or for attention and feed-forward apart")
    unchecked = (
        "that a tool synthesizes a stage, its cycles, and what the hardware computes: no HLS tool and no board here",
        "fixed-point numbers: weights and vectors are float32",
        "that hls4ml or FINN convert a stage; hls4ml 1.3 also wants the shape of every weight among the value_info",
    )

    def pipeline_for(self, model: Model) -> str:
        """The pipeline of the flow."""
        return _passes(self.flow, self.per)

    @cached_property
    def profile(self) -> Profile:
        """What the flow takes, from `fpga_FLOW.toml`."""
        return read_profile(self.file.with_name(f"fpga_{self.flow}.toml"))

    def parameters(self, model: Model, folder: Path, golden: Golden) -> dict[str, Any]:
        """What is allowed of each output, and how much of each stage the flow takes.

        Raises:
            TargetError: the pipeline did not split the model.
        """
        if ORDER not in model.metadata:
            raise TargetError("fpga: the model is not split into stages; put split-layers into the pipeline")
        verdicts = {stage.name: judge(stage.model, self.profile) for stage in stages(model)}
        return {
            "flow": self.flow,
            "tolerances": tolerances(golden.outputs, golden.contract),
            "share_allowed": SHARES["fp32"],
            "stages": {
                name: {"taken": share(verdict).of_nodes, "violations": list(map(str, verdict.violations))}
                for name, verdict in verdicts.items()
            },
        }
