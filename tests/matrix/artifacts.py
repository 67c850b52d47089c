"""What the rows of the matrix are: exported models, and what is known of each from its architecture and exporter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

import regraft
from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.pipelines.frontend import ImportOptions

FOLDER = Path(__file__).parents[1] / "artifacts"
OPSETS = (11, 13, 17, 18, 20, 23)
QA_REFERENCE = "pytorch/transformers-4.25.1-bert-qa/ref.npz"
TF_REFERENCE = "tensorflow/tiny_seq32_ref.npz"


class Gap(NamedTuple):
    """A transform that should do more than it does in opsets below `below`, and why it does not."""

    transform: str
    reason: str
    below: int = OPSETS[-1] + 1


@dataclass(frozen=True)
class Artifact:
    """An exported model. The defaults are those of a two-layer BERT classifier.

    Attributes:
        path: of the file, or of the folder to import, below the folder of artifacts.
        opset: in which it was exported.
        before_conversion: passes that are run before it is led to another opset: of Attention, convert-opset writes
            ONNX's definition, which no pass takes for attention.
        reference: the file with its inputs; by default `path` with .npz, or ref.npz in a folder, where that exists.
        attentions, gelus, layer_norms: how many there are, in whatever form.
        attention: how the scores are computed: "eager"; "sdpa" guards Softmax against rows of -inf; "op" is ONNX's.
        mask: what the caller says of the padding: "ids" of 0 and 1, "lengths", a "bias" that is added to the scores; or
            nothing, and the graph computes a "causal" mask, or has "none".
        positions: whence the position embeddings: a "table" and positions that the graph "counts" or the caller gives
            ("input"), a "constant" that is added; "relative" ones make a bias; a "patches" constant belongs to images.
        embeddings: whether words are looked up.
        fills: numbers that masks hide with, where float16 does not hold them.
        infinite: Wheres that may choose an infinity, or that guard against NaN.
        truths, expands: in the mask, conditions that always hold, and Expands whose readers broadcast anyway.
        scaled: whether the scores are scaled.
        wide: lookups by numbers that must stay wide: T5's buckets of distances, and positions that are a Range.
        gemms: products of two matrices to which a bias is added, be they Gemm or MatMul and Add.
        dropouts: Dropout nodes, all in training mode.
        shapes: names and shapes of the inputs of an MXNet model.
        gaps: what transforms leave undone.
    """

    path: str
    opset: int = 20
    before_conversion: str = ""
    reference: str = ""
    attentions: int = 2
    gelus: int = 2
    layer_norms: int = 5
    attention: Literal["eager", "sdpa", "op"] = "eager"
    mask: Literal["ids", "lengths", "bias", "causal", "none"] = "ids"
    positions: Literal["counts", "input", "constant", "relative", "patches"] = "counts"
    embeddings: bool = True
    fills: int = 1
    infinite: int = 0
    truths: int = 0
    expands: int = 0
    scaled: bool = True
    wide: int = 0
    gemms: int = 2
    dropouts: int = 0
    shapes: tuple[tuple[str, tuple[int | str, ...]], ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def name(self) -> str:
        """What the page calls it."""
        return self.path.split("/", 1)[1].removesuffix(".onnx").removesuffix("/model")

    @property
    def exporter(self) -> Literal["ts", "dynamo", ""]:
        """Which of PyTorch's two."""
        return "ts" if "-ts" in self.name else "dynamo" if "-dynamo" in self.name else ""

    @property
    def file(self) -> Path:
        return FOLDER / self.path

    def gap(self, transform: str, opset: int) -> str:
        """Why `transform` does not do all that it should in `opset`; empty where it does."""
        return next((gap.reason for gap in self.gaps if gap.transform == transform and opset < gap.below), "")

    def load(self) -> Model:
        """A model of one's own; what is no ONNX file is imported once."""
        return clone(imported(self)) if self.shapes else regraft.load(self.file)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """The inputs of its reference; none where it has no reference."""
        beside = self.file / "ref.npz" if self.shapes else self.file.with_suffix(".npz")
        path = FOLDER / self.reference if self.reference else beside
        if not path.exists():
            return {}
        with np.load(path) as values:
            return {name[3:]: values[name] for name in values if name.startswith("in_")}


@cache
def imported(artifact: Artifact) -> Model:
    """The MXNet model, in the opset of its row."""
    return regraft.open_source(artifact.file, "mxnet", ImportOptions(dict(artifact.shapes), artifact.opset))


DYNAMO: dict[str, Any] = {"truths": 2}
TS: dict[str, Any] = {"truths": 2, "expands": 1}
SDPA: dict[str, Any] = {"attention": "sdpa", "infinite": 2}
SDPA_TS: dict[str, Any] = {"attention": "sdpa", "infinite": 4, "fills": 2}
GPT2: dict[str, Any] = {"truths": 1, "expands": 1, "gemms": 8}
T5: dict[str, Any] = {"gelus": 0, "layer_norms": 0, "positions": "relative", "scaled": False, "wide": 1, "gemms": 0}
TIED: dict[str, Any] = {"fills": 2, "gelus": 3, "layer_norms": 6, "gemms": 0}
EINSUM: dict[str, Any] = {"mask": "causal", "infinite": 2, "fills": 2, "wide": 1, "gemms": 0}
VIT: dict[str, Any] = {"mask": "none", "positions": "patches", "embeddings": False, "gemms": 1}
GLUON: dict[str, Any] = {"opset": 17, "mask": "lengths", "fills": 2}
INTERLEAVED: dict[str, Any] = {"attention": "sdpa", "infinite": 4}
GLUON_IDS = (("data0", ("batch", 16)), ("data1", ("batch", 16)), ("data2", ("batch",)))
GLUON_PLACES = (*GLUON_IDS, ("data3", ("batch", 3)))

ARTIFACTS = (
    Artifact("pytorch/bert-cls-eager-dynamo.onnx", **DYNAMO, gemms=0),
    Artifact("pytorch/bert-cls-eager-ts.onnx", **TS),
    Artifact("pytorch/bert-cls-eager-ts-train.onnx", **TS, dropouts=8),
    Artifact("pytorch/bert-cls-explicit-dynamo.onnx", mask="bias", positions="input", fills=0),
    Artifact("pytorch/bert-cls-sdpa-dynamo.onnx", **DYNAMO, **SDPA, gemms=0),
    Artifact("pytorch/bert-cls-sdpa-dynamo-op23.onnx", 23, "lower-attention", attention="op", fills=0, truths=1),
    Artifact("pytorch/bert-cls-sdpa-ts.onnx", **TS, **SDPA_TS),
    Artifact("pytorch/bert-mlm-tied-dynamo.onnx", **TIED, attention="sdpa", infinite=2, truths=2, expands=2),
    Artifact("pytorch/bert-mlm-tied-ts.onnx", **TIED, **TS, attention="sdpa", infinite=4),
    Artifact("pytorch/bert-qa-eager-dynamo.onnx", **DYNAMO, gemms=0),
    Artifact("pytorch/bert-static-dynamo.onnx", truths=1, positions="constant"),
    Artifact("pytorch/distilbert-sdpa-dynamo.onnx", **DYNAMO, **SDPA, gemms=0),
    Artifact("pytorch/distilbert-sdpa-ts.onnx", **TS, **SDPA_TS),
    Artifact("pytorch/einsum-decoder-dynamo.onnx", **EINSUM),
    Artifact("pytorch/einsum-decoder-ts.onnx", **EINSUM),
    Artifact("pytorch/gpt2-eager-dynamo.onnx", **GPT2),
    Artifact("pytorch/gpt2-eager-ts.onnx", **GPT2),
    Artifact("pytorch/gpt2-sdpa-dynamo.onnx", **GPT2, **SDPA),
    Artifact("pytorch/gpt2-sdpa-ts.onnx", **GPT2, **SDPA_TS),
    Artifact("pytorch/roberta-eager-dynamo.onnx", **DYNAMO),
    Artifact("pytorch/roberta-eager-ts.onnx", truths=2, expands=2),
    Artifact("pytorch/roberta-sdpa-dynamo.onnx", **DYNAMO, **SDPA),
    Artifact("pytorch/roberta-sdpa-ts.onnx", truths=2, expands=2, **SDPA_TS),
    Artifact("pytorch/t5-encoder-dynamo.onnx", **T5, truths=2, expands=1),
    Artifact("pytorch/t5-encoder-ts.onnx", **T5, **TS),
    Artifact("pytorch/transformers-4.25.1-bert-qa/model.onnx", 11, reference=QA_REFERENCE, gemms=0),
    Artifact("pytorch/vit-dynamo.onnx", **VIT, **SDPA, expands=1),
    Artifact("pytorch/vit-ts.onnx", **VIT, fills=0),
    Artifact("tensorflow/tiny_seq32_op18.onnx", 18, reference=TF_REFERENCE, positions="constant", fills=0),
    Artifact("mxnet/gn0.8.3-classifier", **GLUON, shapes=GLUON_IDS, expands=3),
    Artifact("mxnet/gn0.10.0-classifier", **GLUON, **INTERLEAVED, shapes=GLUON_IDS),
    Artifact("mxnet/gn0.10.0-mlm-nsp", **GLUON, **INTERLEAVED, shapes=GLUON_PLACES, gelus=3, layer_norms=6),
)
