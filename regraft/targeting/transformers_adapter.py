"""A bundle in the place of the model that it came from, inside a pipeline of Hugging Face's transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import TargetError
from regraft.files.bundle import read_manifest
from regraft.targeting.compiled import open_bundle

Dims = list[Any]


def transformers_model(bundle: str | Path, config: Any, environment: Path | None = None, trust: bool = False) -> Any:
    """A model for `transformers.pipeline(task, model=..., tokenizer=...)` that runs a bundle; needs torch.

    A bundle of fixed sizes, as many compilers want them, takes what is smaller: rows and positions are filled up
    with padding that the mask hides, and cut off the outputs. A batch that is larger runs in parts.

    Args:
        config: the model's `PretrainedConfig`, for its labels and its padding.
        environment: of the compiler's runtime; None where it is to be found.
        trust: run what was compiled, which is native code of whoever made the bundle; else the device's model in ONNX
            Runtime.

    Raises:
        TargetError: its compiler's runtime is missing.
    """
    import torch
    from transformers.utils import ModelOutput

    class BundleModel(torch.nn.Module):
        """What a pipeline calls, and what it asks for before."""

        device = torch.device("cpu")
        dtype = torch.float32

        def __init__(self) -> None:
            super().__init__()
            self.config = config
            self.fitted = Fitted(Path(bundle), getattr(config, "pad_token_id", None) or 0, environment, trust)

        def can_generate(self) -> bool:
            return False

        def forward(self, **given: Any) -> Any:
            arrays = {name: value.numpy() for name, value in given.items() if isinstance(value, torch.Tensor)}
            results = self.fitted.run(arrays)
            return ModelOutput({name: torch.from_numpy(value) for name, value in results.items()})

    return BundleModel().eval()


class Fitted:
    """A bundle of fixed sizes that takes rows and sequences of other sizes.

    Args:
        padding: the id of the padding token.
    """

    def __init__(self, bundle: Path, padding: int, environment: Path | None = None, trust: bool = False):
        self._session = open_bundle(bundle, environment, trust=trust)
        self._dtypes = {port.name: port.dtype for port in self._session.inputs}
        self._padding = padding
        self._sizes: dict[str, Dims] = {port.name: list(port.shape or ()) for port in self._session.inputs}
        self._sequence = {dims[1] for dims in _named(read_manifest(bundle), "inputs").values() if len(dims) > 1}
        self._outputs = _named(read_manifest(bundle), "outputs")

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name, for inputs [batch, sequence] or [batch, ...]; what the bundle does not take is left out.

        Raises:
            TargetError: an input is missing, or longer than the bundle takes.
        """
        if missing := [name for name in self._sizes if name not in inputs]:
            raise TargetError(f"the bundle takes '{missing[0]}', which the pipeline does not give")
        taken = {name: np.asarray(inputs[name]) for name in self._sizes}
        rows = len(next(iter(taken.values())))
        step = next((dims[0] for dims in self._sizes.values() if dims and isinstance(dims[0], int)), rows)
        parts = [
            self._part({name: value[at : at + step] for name, value in taken.items()}) for at in range(0, rows, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _part(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The outputs of no more rows than the bundle takes at once."""
        rows = len(next(iter(inputs.values())))
        length = max((value.shape[1] for value in inputs.values() if value.ndim == 2), default=0)
        fed = {name: self._fill(name, value) for name, value in inputs.items()}
        return {name: self._cut(name, value, rows, length) for name, value in self._session.run(fed).items()}

    def _fill(self, name: str, value: Any) -> Any:
        gaps = []
        for size, dim in zip(value.shape, self._sizes[name], strict=True):
            if isinstance(dim, int) and size > dim:
                raise TargetError(f"input '{name}' is {list(value.shape)}, and the bundle takes {self._sizes[name]}")
            gaps.append((0, dim - size if isinstance(dim, int) else 0))
        filled = np.pad(value, gaps, constant_values=self._padding if name == "input_ids" else 0)
        return filled.astype(self._dtypes[name])

    def _cut(self, name: str, value: Any, rows: int, length: int) -> Any:
        """Without what was filled up: rows, and positions where the original's output has as many as its inputs."""
        dims = self._outputs.get(name, [])
        positions = len(dims) > 1 and length and dims[1] in self._sequence
        return value[:rows, :length] if positions else value[:rows]


def _named(manifest: Mapping[str, Any], side: str) -> dict[str, Dims]:
    """The shapes that the model had before it was rewritten, with its names of dimensions."""
    ports = manifest.get("original", manifest)[side]
    return {port["name"]: port["shape"] or [] for port in ports}
