"""What the columns of the matrix are: transforms, what each is expected to find, and how that is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regraft.ir.model import Model
from tests.matrix import expectations as expect
from tests.matrix.artifacts import Artifact
from tests.matrix.expectations import Expected, Expects
from tests.matrix.measures import Done, changes, gone, halves, moved, narrow_lookups, operators, stages

FIXED = "set-shapes{...}"
"""Stands in a text of passes for set-shapes with the shapes of the artifact's inputs."""


@dataclass(frozen=True)
class Transform:
    """A transform.

    Attributes:
        name: the heading of its column.
        pipeline: the passes to apply.
        prepare: the passes that are run before it, to give it something to do.
        expects: the places that it must change, from the artifact and its prepared model.
        places: how they are counted.
        removes: operators of which none may be left.
        partly: but for nodes of which the pass says why it keeps them; those are no places then.
        refuses: why the pass refuses a model as a whole, and must; empty where it takes it.
    """

    name: str
    pipeline: str
    expects: Expects
    prepare: str = ""
    places: Callable[[Done], int] = changes
    removes: tuple[str, ...] = ()
    partly: bool = False
    refuses: Callable[[Model], str] = lambda model: ""

    def left(self, done: Done) -> list[str]:
        """The operators that should have gone and are there, once for each node."""
        found = operators(done.model)
        return [op for op in self.removes for _ in range(found[op])]

    def __str__(self) -> str:
        return f"{self.prepare},{self.pipeline}" if self.prepare else self.pipeline


def lowering(pipeline: str, *ops: str, name: str = "", prepare: str = "", partly: bool = False) -> Transform:
    """A transform that takes every node of `ops` away."""

    def expects(_: Artifact, model: Model) -> Expected:
        return sum(operators(model)[op] for op in ops) or f"no {', '.join(ops)}"

    return Transform(name or pipeline, pipeline, expects, prepare, gone(*ops), ops, partly)


def fixed(pipeline: str, *ops: str) -> Transform:
    """The lowering of a model whose shapes are known."""
    return lowering(pipeline, *ops, name=f"{pipeline}, shapes fixed", prepare=f"{FIXED},fold-constants")


def forms(pass_name: str, op: str, expects: Expects, values: tuple[str, ...]) -> list[Transform]:
    """A lowering of `op`, once it is recognised, in each of its forms."""
    fuse = pass_name.replace("lower", "fuse")
    texts = [f"{pass_name}{{form={value}}}" for value in values]
    return [Transform(text, text, expects, fuse, removes=(op,)) for text in texts]


LOGIC = ("And", "Or", "Not", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal")


LOWERED = "lower-einsum"
NARROW = "narrow-integers{inputs=true}"
FINITE = "clamp-mask-value,simplify-mask"
FP16 = [f"convert-fp16{{mode={mode}}}" for mode in ("full", "matmul", "attention")]
HOST = "expose-position-ids,externalize-embeddings,externalize-mask"
WHOLE = (
    f"strip-dropout,lower-einsum,fold-constants,fuse-gelu,fuse-layer-norm,{HOST},"
    "simplify-mask,lower-gelu,lower-layer-norm,lower-where"
)
UNWANTED = ("Dropout", "Gelu", "IsNaN", "LayerNormalization", "Where")
LAYER_NORMS = ("pow", "mul", "rsqrt", "fold")

GROUPS = {
    "Dropout, GELU and LayerNormalization": [
        lowering("strip-dropout", "Dropout"),
        Transform("fuse-gelu", "fuse-gelu", expect.gelus, removes=("Erf",)),
        *forms("lower-gelu", "Gelu", expect.fused_gelus, ("erf", "tanh", "sigmoid")),
        Transform("fuse-layer-norm", "fuse-layer-norm", expect.layer_norms),
        *forms("lower-layer-norm", "LayerNormalization", expect.fused_layer_norms, LAYER_NORMS),
    ],
    "Operators that compilers lack": [
        lowering("lower-erf", "Erf"),
        lowering("lower-pow", "Pow"),
        lowering("lower-einsum", "Einsum"),
        lowering("lower-gemm", "Gemm"),
        Transform("fuse-gemm", "fuse-gemm", expect.gemms, prepare="lower-gemm"),
        lowering("lower-split", "Split"),
        lowering("lower-expand", "Expand", partly=True),
        fixed("lower-expand", "Expand"),
        Transform("lower-div", "lower-div", expect.divisions),
        lowering("lower-reduce-mean", "ReduceMean"),
        lowering("lower-softmax", "Softmax"),
        lowering("lower-trilu", "Trilu"),
        lowering("lower-range{max-length=64}", "Range", partly=True),
        lowering("lower-range", "Range", name="lower-range, shapes fixed", prepare=FIXED),
        lowering("lower-gather-elements", "GatherElements", prepare="fold-constants"),
        lowering("lower-one-hot", "OneHot"),
        lowering("lower-reciprocal", "Reciprocal"),
    ],
    "Masks": [
        Transform("lower-where", "lower-where", expect.finite_wheres),
        lowering("lower-where", "Where", name="lower-where, mask made finite", prepare=FINITE),
        Transform(
            "simplify-gather",
            "simplify-gather",
            expect.whole_masks,
            "fold-constants,eliminate-identity",
            places=gone("GatherND", "Flatten"),
        ),
        Transform("simplify-mask", "simplify-mask", expect.simplifications, places=gone("IsNaN", "And", "Expand")),
        Transform("clamp-mask-value", "clamp-mask-value", expect.fills),
        Transform("lower-logic", "lower-logic", expect.comparisons),
        lowering("lower-logic{to=arithmetic}", *LOGIC, prepare="fold-constants,lower-where", partly=True),
    ],
    "Host and device": [
        Transform("expose-position-ids", "expose-position-ids", expect.positions, places=moved),
        Transform("externalize-embeddings", "externalize-embeddings", expect.embeddings, places=moved),
        Transform(
            "externalize-embeddings{layer-norm=true}",
            "externalize-embeddings{layer-norm=true}",
            expect.embeddings,
            "fuse-layer-norm",
            places=moved,
        ),
        Transform("externalize-mask", "externalize-mask", expect.masks, places=moved),
        Transform("externalize-gates", "externalize-gates", expect.gates, places=moved),
        Transform("all three", HOST, expect.inputs_of_host, places=moved),
    ],
    "Attention": [
        Transform("fuse-attention", "fuse-attention", expect.attentions, LOWERED),
        Transform(
            "lower-attention", "lower-attention", expect.attentions, f"{LOWERED},fuse-attention", removes=("Attention",)
        ),
        Transform("fold-attention-scale", "fold-attention-scale", expect.scales, f"{LOWERED},fold-constants"),
        Transform("split-layers", "split-layers", expect.layers, LOWERED, places=stages),
    ],
    "Precision": [
        *(Transform(text, text, expect.products, places=halves) for text in FP16),
        Transform(
            "convert-bf16", "convert-bf16", expect.brain_products, places=halves, refuses=expect.bfloat16_came_later
        ),
        Transform(NARROW, NARROW, expect.lookups, places=narrow_lookups),
        Transform("the whole pipeline", "convert-fp16", expect.products, WHOLE, places=halves, removes=UNWANTED),
    ],
}
TRANSFORMS = [transform for group in GROUPS.values() for transform in group]
