"""How far float16 lies from float32, for every exported model of the tests and the demo's encoder, by converter.

    python -m tests.benchmarks.fp16_accuracy [--only vit-ts] [--seeds 24] [--out benchmarks-out]

Outputs of all inputs together: the largest difference, the root mean square of the differences, and 1 - cosine. Runs
are in ONNX Runtime, optimisations off. It computes float16 in float32 on a CPU and rounds only where values leave a run
of float16 nodes, which favours models that have few borders between the precisions.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import regraft
from regraft.errors import RegraftError
from regraft.models import minilm
from regraft.models.sentences import sentences
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.benchmarks import table
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.halving import CONVERTERS

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
Arrays = Mapping[str, Any]


def main() -> None:
    options = _options()
    rows = []
    for name, path, samples in _models(options.seeds):
        if options.only and not any(text in name for text in options.only):
            continue
        row: table.Row = {"model": name}
        expected = [Session(path).run(sample) for sample in samples]
        for converter in CONVERTERS:
            if converter.version() is not None:
                row[f"{converter.name}: max, rms, 1 - cosine"] = measure(converter, path, samples, expected)
        rows.append(row)
        print(row, flush=True)
    table.write(options.out, "fp16-accuracy", "float16 beside float32", rows, {"seeds": options.seeds})


def _models(seeds: int) -> Iterator[tuple[str, Path, list[Arrays]]]:
    """The name, the file and the inputs of each model."""
    yield "MiniLM, sentences", minilm.model_path(), [minilm.encode(sentences())]
    for path in sorted(ARTIFACTS.rglob("*.onnx")):
        if "train" not in path.name:  # it drops at random
            model = regraft.load(path)
            yield str(path.relative_to(ARTIFACTS)), path, [make_inputs(model, seed=seed) for seed in range(seeds)]


def measure(converter: Contestant, path: Path, samples: Sequence[Arrays], expected: Sequence[Arrays]) -> str:
    """The three numbers, or what is wrong with the converted model."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "half.onnx")
        try:
            converter.work(str(path), str(target))
            session = Session(target)
            found = [session.run(sample) for sample in samples]
        except RegraftError:
            return "invalid model"
        except Exception as error:  # whatever another library raises
            return f"raises {type(error).__name__}"
    old, new = (np.concatenate([_flat(outputs) for outputs in results]) for results in (expected, found))
    if np.isnan(new).any() and not np.isnan(old).any():
        return "NaN"
    apart = np.abs(new - old)
    cosine = float(old @ new / (np.linalg.norm(old) * np.linalg.norm(new)))
    return f"{apart.max():.1e}, {np.sqrt(np.mean(apart**2)):.1e}, {1 - cosine:.0e}"


def _flat(outputs: Arrays) -> np.ndarray:
    floats = [np.asarray(value) for value in outputs.values() if np.asarray(value).dtype.kind == "f"]
    return np.concatenate([value.astype(np.float64).ravel() for value in floats])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a part of a model's name; may be repeated")
    parser.add_argument("--seeds", type=int, default=24, help="inputs for each model")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
