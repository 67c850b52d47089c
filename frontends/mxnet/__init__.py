"""The frontend `mxnet`: reads the files themselves, in pure Python; MXNet need not be installed.

files          which files belong together         symbol, params   what is in them
translate      the walk over the graph             emitter          the ONNX graph that grows
table, call    how a converter is registered, and what it is given
elementwise, linear, sequences, shaping            the converters, a family each; codes: those of Reshape
"""

from __future__ import annotations

from pathlib import Path

from regraft.ir.model import Model
from regraft.outside import first_bytes
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions

from .files import SYMBOL, find_files
from .params import is_params, read_params
from .symbol import read_symbol
from .translate import translate

OPSETS = range(17, 21)
"""The opsets that the frontend writes: LayerNormalization came with the first, Gelu with the last."""

_START = 256


class Mxnet(Frontend):
    """MXNet models: NAME-symbol.json with NAME-0000.params, as Gluon and Module export them.

    Inputs take their shapes from the options, or from the graph if it states them; a dimension may have a name. Nodes
    keep MXNet's names, and their metadata `mxnet.op` and `mxnet.node` name the original. Weights stay in their file.
    Parameters may also be in a file `.embeddings` beside the .params.
    """

    name = "mxnet"
    formats = "NAME-symbol.json, NAME-0000.params, or a folder with them"
    options = frozenset({"shapes"})

    def accepts(self, source: Path) -> bool:
        if source.is_dir():
            return any(source.glob(f"*{SYMBOL}"))
        start = first_bytes(source, _START)
        return is_params(start[:8]) or source.name.endswith(SYMBOL) or (start[:1] == b"{" and b'"nodes"' in start)

    def read(self, source: Path, options: ImportOptions) -> Model:
        files = find_files(source)
        symbol = read_symbol(files.symbol)
        arrays = {name: value for path in files.arrays for name, value in read_params(path).items()}
        opset = OPSETS[0] if options.opset is None else min(max(options.opset, OPSETS[0]), OPSETS[-1])
        try:
            model = translate(symbol, arrays, options.shapes, opset)
        except FrontendError as error:
            raise FrontendError(f"{files.symbol}: {error}") from error
        model.path = files.symbol
        names = ", ".join(path.name for path in (files.symbol, *files.arrays))
        model.metadata["regraft.source"] = f"{' '.join(filter(None, ['MXNet', symbol.version]))}: {names}"
        return model
