"""A SavedModel of BERT-large (1.34 GB, weights drawn), imported: time and peak memory of regraft and of tf2onnx.

    python -m tests.benchmarks.saved_model [--out benchmarks-out] [--only regraft] [--address-space 18]

Each converter runs in a process of its own. What regraft wrote is held against TensorFlow's output.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import table
from tests.benchmarks.measure import Limits, run, settle

CONVERTERS = {
    "regraft": ["-c", "from regraft.cli import main; main()", "import", "{source}", "-o", "{target}"],
    "tf2onnx": ["-m", "tf2onnx.convert", "--saved-model", "{source}", "--output", "{target}", "--opset", "18"],
}
LARGE = {"layers": 24, "width": 1024, "heads": 16, "words": 30522, "length": 128}
_MAKE = "import sys; from tests.benchmarks.saved_model import LARGE, make; make(sys.argv[1], **LARGE)"
_COMPARE = "import sys; from tests.benchmarks.saved_model import compare; print(compare(*sys.argv[1:]))"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="regraft-saved-model-", dir=options.scratch) as folder:
        source, target = Path(folder, "bert"), Path(folder, "out.onnx")
        subprocess.run([sys.executable, "-c", _MAKE, source], check=True)
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        rows = []
        for name, command in CONVERTERS.items():
            if options.only in (None, name):
                settle(source / "variables" / "variables.data-00000-of-00001", target)
                words = [word.format(source=source, target=target) for word in command]
                result = run([sys.executable, *words], Limits(address_space=options.address_space << 30))
                row: table.Row = {"converter": name, "seconds": round(result.seconds, 1)}
                row["peak MB"] = round(result.peak_bytes / 1e6)
                row["error"] = "" if result.failure else _difference(source, target)
                rows.append({**row, "note": result.failure})
                print(rows[-1], flush=True)
    table.write(options.out, "saved-model", f"BERT-large, a SavedModel of {size / 1e9:.2f} GB", rows, {"bytes": size})


def make(folder: str, layers: int, width: int, heads: int, words: int, length: int) -> None:
    """Save BERT with a classifier as google-research/bert does from TensorFlow 1, all weights drawn."""
    import tensorflow

    tf: Any = tensorflow.compat.v1
    draw = tf.random_normal_initializer(stddev=0.02, seed=1)

    def dense(x: Any, units: int, name: str) -> Any:
        with tf.variable_scope(name):
            kernel = tf.get_variable("kernel", [x.shape[-1], units], initializer=draw)
            return tf.nn.bias_add(tf.matmul(x, kernel), tf.get_variable("bias", [units], initializer=draw))

    def norm(x: Any) -> Any:
        with tf.variable_scope("LayerNorm"):
            mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
            scale = tf.get_variable("gamma", [width], initializer=tf.ones_initializer())
            shift = tf.get_variable("beta", [width], initializer=draw)
            return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-12)

    def gelu(x: Any) -> Any:
        return x * 0.5 * (1.0 + tf.tanh(0.7978845608 * (x + 0.044715 * tf.pow(x, 3))))

    def split(x: Any) -> Any:
        return tf.transpose(tf.reshape(x, [-1, length, heads, width // heads]), [0, 2, 1, 3])

    def attention(x: Any, bias: Any) -> Any:
        with tf.variable_scope("self"):
            query, key, value = (split(dense(x, width, name)) for name in ("query", "key", "value"))
            scores = tf.matmul(query, key, transpose_b=True) * (width // heads) ** -0.5 + bias
            context = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        with tf.variable_scope("output"):
            return norm(dense(tf.reshape(context, [-1, width]), width, "dense") + x)

    with tf.Graph().as_default(), tf.Session() as session, tf.variable_scope("bert", use_resource=False):
        names = ("input_ids", "input_mask", "segment_ids")
        inputs = {name: tf.placeholder(tf.int32, [None, length], name) for name in names}
        with tf.variable_scope("embeddings"):
            x = tf.gather(tf.get_variable("word_embeddings", [words, width], initializer=draw), inputs["input_ids"])
            types = tf.get_variable("token_type_embeddings", [2, width], initializer=draw)
            positions = tf.get_variable("position_embeddings", [512, width], initializer=draw)
            one_hot = tf.one_hot(tf.reshape(inputs["segment_ids"], [-1]), 2)
            x += tf.reshape(tf.matmul(one_hot, types), [-1, length, width])
            x = tf.reshape(norm(x + tf.slice(positions, [0, 0], [length, -1])), [-1, width])
        mask = tf.cast(tf.reshape(inputs["input_mask"], [-1, 1, 1, length]), tf.float32)
        for number in range(layers):
            with tf.variable_scope(f"encoder/layer_{number}"):
                with tf.variable_scope("attention"):
                    x = attention(x, (1.0 - mask) * -10000.0)
                with tf.variable_scope("intermediate"):
                    wide = gelu(dense(x, 4 * width, "dense"))
                with tf.variable_scope("output"):
                    x = norm(dense(wide, width, "dense") + x)
        first = tf.squeeze(tf.reshape(x, [-1, length, width])[:, 0:1, :], 1)
        probabilities = tf.nn.softmax(dense(tf.tanh(dense(first, width, "pooler")), 2, "classifier"))
        session.run(tf.global_variables_initializer())
        tf.saved_model.simple_save(session, folder, inputs, {"probabilities": probabilities})


def compare(source: str, target: str) -> float:
    """The largest difference between the outputs of a SavedModel and of the ONNX model made of it."""
    import numpy as np
    import onnxruntime
    import tensorflow as tf

    random = np.random.default_rng(0)
    inputs = {
        "input_ids": random.integers(0, 30522, (2, 128), dtype=np.int32),
        "input_mask": np.int32(np.arange(128) < [[128], [40]]),
        "segment_ids": np.int32(np.arange(128) > [[60], [20]]),
    }
    loaded = tf.saved_model.load(source).signatures["serving_default"]
    expected = loaded(**{name: tf.constant(value) for name, value in inputs.items()})["probabilities"].numpy()
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    return float(np.abs(session.run(["probabilities"], inputs)[0] - expected).max())


def _difference(source: Path, target: Path) -> float | str:
    result = subprocess.run([sys.executable, "-c", _COMPARE, source, target], capture_output=True, text=True)
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines()
    return float(lines[-1]) if result.returncode == 0 else lines[-1]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--only", choices=CONVERTERS)
    parser.add_argument("--scratch", type=Path, help="where the models go, some 4 GB")
    parser.add_argument("--address-space", type=int, default=18, help="GB that a converter may take")
    return parser.parse_args()


if __name__ == "__main__":
    main()
