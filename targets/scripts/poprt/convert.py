"""Convert device.onnx with PopRT, compile it for the IPU, run it on the golden vectors, and compare what it gives.

    python convert.py            convert, compile, run, compare
    python convert.py --check    all that needs no PopRT: the model and the vectors fit, the command line is printed

Needs numpy and onnx, and PopRT 1.5 with the Poplar SDK, on a machine with an IPU. PopRT's own command line, which
converts and compiles the same, is `command_line` in handoff.json. Exit code: 0 right, 1 refused or wrong, 2 something
is missing.
"""

from __future__ import annotations

import argparse
import shlex

import golden
from golden import np

IR_VERSION = 6
"""What came with opset 11: an older onnx than the exporter's refuses newer ones, whatever their opset."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do all that needs no PopRT")
    given = parser.parse_args()
    said = golden.parameters()
    model = read_model(said)
    inputs, outputs = golden.vectors("device_inputs"), golden.vectors("outputs")
    check_inputs(model, inputs, said)
    print(shlex.join(said["command_line"]))
    if given.check:
        print("not run: PopRT; everything before it is in order")
        return
    poprt = import_poprt()
    converted = convert(poprt, model, said)
    runner = compile_model(poprt, converted, said)
    if said["pack_args"]:
        golden.stop(f"{said['converted']} is written; with pack_args it is not run", 0)
    if not golden.compare(run(runner, inputs), outputs, said["tolerances"]):
        golden.stop("the IPU computes something else", golden.WRONG)
    print(f"{said['converted']} is right")


def read_model(said):
    """The model, as PopRT's Converter takes it."""
    onnx = golden.need("onnx", "pip install onnx, which PopRT needs too")
    model = onnx.load(str(golden.model(said["model"])))
    model.ir_version = min(model.ir_version, IR_VERSION)
    return model


def check_inputs(model, inputs, said):
    """Stop where the golden vectors, or the shapes that PopRT is told, are not those of the model's static inputs."""
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.name not in inputs or list(inputs[value.name].shape) != shape:
            golden.stop(f"input '{value.name}' of {shape} has no golden vector of that shape; {golden.AGAIN}")
        if said["input_shape"].get(value.name) != shape:
            golden.stop(f"handoff.json gives input '{value.name}' another shape; {golden.AGAIN}")


def import_poprt():
    """The package. Its modules are imported one by one where they are used, as its examples do."""
    try:
        import poprt
    except ImportError as error:
        golden.stop(f"PopRT cannot be imported ({error}): install PopRT 1.5 and enable the Poplar SDK")
    return poprt


def convert(poprt, model, said):
    """The IPU's model, which is written too."""
    import onnx

    options = {"input_shape": said["input_shape"], "precision": said["precision"], "convert_version": 11}
    options["used_passes"] = said["used_passes"]
    if said["pack_args"]:
        options["pack_args"] = said["pack_args"]
    converted = poprt.Converter(**options).convert(model)
    onnx.save(converted, str(golden.FOLDER / said["converted"]))
    return converted


def compile_model(poprt, converted, said):
    """What runs the compiled model."""
    from poprt import runtime
    from poprt.compiler import Compiler, CompilerOptions

    options = CompilerOptions()
    options.ipu_version = said["ipu_version"]
    outputs = [output.name for output in converted.graph.output]
    return runtime.Runner(Compiler.compile(converted.SerializeToString(), outputs, options))


def run(runner, inputs):
    """The outputs by name. What PopRT converted to half precision is fed and given in it."""
    fed = {one.name: inputs[one.name].astype(one.numpy_data_type()) for one in runner.get_execute_inputs()}
    made = {one.name: np.zeros(one.shape, one.numpy_data_type()) for one in runner.get_execute_outputs()}
    runner.execute(fed, made)
    return made


if __name__ == "__main__":
    main()
