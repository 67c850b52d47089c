"""`poprt.compiler`."""

import onnx


class CompilerOptions:
    """Any option; `ipu_version` must be one of PopRT's."""

    ipu_version = "ipu2"


class Compiler:
    """Compiles to what `poprt.runtime.Runner` of this stand-in runs."""

    @staticmethod
    def compile(model, outputs, options):
        assert isinstance(model, bytes)
        assert options.ipu_version in ("ipu2", "ipu21")
        found = onnx.load_model_from_string(model)
        assert [value.name for value in found.graph.output] == list(outputs)
        return found
