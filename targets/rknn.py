"""RKNN, Rockchip's compiler for its NPUs, with the simulator that comes with it."""

from __future__ import annotations

from typing import Literal

from regraft.ir.model import Model
from regraft.legality.verdict import Violation
from regraft.pipelines.options import option
from regraft.targeting.compiler import Compiler
from regraft.verification.contract import Contract

Platform = Literal["rk3562", "rk3566", "rk3568", "rk3576", "rk3588"]

half_floats = Contract("compiled", "same function in float16", spread=3e-3)
"""0.6 % of typical magnitudes in root mean square, ten times as much at a place. Right models of two layers were off by
0.05 % to 0.2 % of their largest value, wrong ones by 40 % and more."""


class Rknn(Compiler):
    """RKNN-Toolkit2 for the NPU of a Rockchip SoC, in float16: static shapes, and few operators left to the CPU.

    Lookups, and the arithmetic of masks and of positions, are what the NPU hands to the CPU: they move to the host. It
    divides, but takes no reciprocal, and knows no NaN.

    The compiler's rule in `disable-rules` fails on GPT-2 ("assignment destination is read-only") and computes something
    else on T5; without it both are right, and the others are compiled as with it.

    Facts: rknn-toolkit2 2.5, as run here, in its simulator.
    """

    name = "rknn"
    package = "rknn-toolkit2"
    versions = ">=2.3,<3"
    install = "run 'make compiler-rknn'"
    contract = half_floats
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,convert-opset{version=19,only=newer},"
        "infer-shapes,normalize-conditions,"
        "fold-constants,eliminate-identity,eliminate-dead-code,externalize-embeddings,externalize-mask,externalize-gates,simplify-mask,"
        "clamp-mask-value,lower-reciprocal,fold-constants,eliminate-identity,eliminate-common-subexpressions,"
        "deduplicate-initializers,eliminate-dead-code,infer-shapes"
    )
    platform: Platform = option("rk3588", "the SoC")
    disable_rules: tuple[str, ...] = option(
        ("fuse_multihead_attention_reshape_to_gather_split",), "rules of the compiler's own that it leaves out"
    )
    remove_reshape: bool = option(False, "let the device take and give shapes of its own, which spares Reshapes")

    def check(self, model: Model) -> list[Violation]:
        """What the compiler refuses; operators that it leaves to the CPU are told by `judge`, and compiled."""
        return [violation for violation in super().check(model) if not violation.operator]
