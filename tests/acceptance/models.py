"""What the rows of the matrix are: 30 files, of eight models, two exporters, static and dynamic shapes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

BATCH, SEQUENCE = 2, 16
"""Sizes of the inputs; a static file is made for them."""


@dataclass(frozen=True)
class Subject:
    """A file of the matrix.

    Attributes:
        model: its architecture and head.
        exporter: of PyTorch: "ts" is TorchScript (opset 17, IR 8), "dyn" is dynamo (opset 18, IR 10).
        shapes: whether batch and sequence are numbers in it, or open.
    """

    model: str
    exporter: Literal["ts", "dyn"]
    shapes: Literal["static", "dynamic"]

    @property
    def name(self) -> str:
        return f"{self.model}-{self.exporter}-{self.shapes}"

    @property
    def image(self) -> bool:
        """Whether it takes pictures, which have no sequence."""
        return self.model == "vit"

    @property
    def dynamic(self) -> bool:
        return self.shapes == "dynamic"

    def file(self, folder: Path) -> Path:
        return folder / f"{self.name}.onnx"

    def reference(self, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Inputs, and the outputs that PyTorch gives for them, by name."""
        with np.load(folder / f"{self.name}.npz") as values:
            sides = [{name[len(p) :]: values[name] for name in values if name.startswith(p)} for p in ("in_", "out_")]
        return sides[0], sides[1]


MODELS = ("bert-cls", "bert-qa", "distilbert", "roberta", "gpt2", "t5-encoder", "vit")
SUBJECTS = (
    *(
        Subject(model, exporter, shapes)
        for model in MODELS
        for exporter in ("ts", "dyn")
        for shapes in ("static", "dynamic")
    ),
    Subject("minilm", "ts", "dynamic"),
    Subject("minilm", "dyn", "static"),
)


def make(folder: Path, subjects: Iterable[Subject] = SUBJECTS) -> None:
    """Write the files of `subjects`, and their references, that `folder` lacks; needs torch, and the demo's MiniLM."""
    missing = [one for one in subjects if not (folder / f"{one.name}.npz").exists()]
    if missing:
        from tests.acceptance import exports

        folder.mkdir(parents=True, exist_ok=True)
        for subject in missing:
            with tempfile.TemporaryDirectory(prefix=f"{subject.name}-", dir=folder) as scratch:
                exports.export(subject, Path(scratch))
                for suffix in (".onnx", ".npz"):  # who finds the reference finds the file
                    subject.file(Path(scratch)).with_suffix(suffix).replace(subject.file(folder).with_suffix(suffix))
