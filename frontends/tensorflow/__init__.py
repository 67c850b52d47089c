"""The frontend `tensorflow`: SavedModels of TensorFlow 1 and 2, by tf2onnx; the weights stay in their checkpoint.

signature      what goes in and out             graph       calls put in place of functions
variables      weights out of the graph         checkpoint  where they lie
convert        tf2onnx, and what it cannot      quiet       its noise
"""

from __future__ import annotations

from pathlib import Path

from regraft.ir.model import Model
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions

from .checkpoint import read_checkpoint
from .quiet import quiet
from .signature import FILE

VARIABLES = Path("variables", "variables")


class TensorFlow(Frontend):
    """SavedModels of TensorFlow: of TensorFlow 1 (BERT's serving export), of TensorFlow 2 and of Keras.

    The graph is converted without its weights; these stay in the checkpoint until the model is saved, and are never in
    memory together. Inputs and outputs have the names of the signature. An unknown first dimension is called `batch`.
    Nodes keep TensorFlow's names, and their metadata `tensorflow.op` and `tensorflow.node` name the original.
    """

    name = "tensorflow"
    formats = f"a folder with {FILE}"
    extra = "tensorflow"
    options = frozenset({"shapes", "signature", "tag", "drop_unused_inputs"})

    def accepts(self, source: Path) -> bool:
        return (source / FILE).is_file() or source.name == FILE

    def read(self, source: Path, options: ImportOptions) -> Model:
        folder = source if source.is_dir() else source.parent
        if not (folder / FILE).is_file():
            raise FrontendError(f"{folder} is no SavedModel: there is no {FILE} in it")
        prefix = folder / VARIABLES
        values = read_checkpoint(prefix) if prefix.parent.is_dir() else {}
        with quiet():
            from .convert import convert

            model = convert(folder, values, options)
        return model
