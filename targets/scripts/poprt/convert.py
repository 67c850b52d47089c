"""Convert device.onnx with PopRT, compile it for the IPU, run it on the golden vectors, and compare what it gives.

    python convert.py            convert, compile, run, compare
    python convert.py --online   in PopRT's PackRunner too, which packs the sequences of the vectors one by one
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

OWN = "ai.graphcore"
"""The domain of PopRT's operators. Functions of that name are there for all else that runs the model."""

LENGTHS = "unpack_info"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do all that needs no PopRT")
    parser.add_argument("--online", action="store_true", help="run in PopRT's PackRunner too")
    given = parser.parse_args()
    said = golden.parameters()
    if given.online and not said["pack_runner"]:
        golden.stop("--online is for a model that unpack-attention{form=static,dialect=poprt} has packed")
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
    outputs = shown(outputs, inputs, said)
    if not golden.compare(shown(run(runner, inputs), inputs, said), outputs, said["tolerances"]):
        golden.stop("the IPU computes something else", golden.WRONG)
    if given.online and not golden.compare(shown(run_online(said, inputs), inputs, said), outputs, said["tolerances"]):
        golden.stop("the PackRunner gives something else", golden.WRONG)
    print(f"{said['converted']} is right")


def read_model(said):
    """The model, as PopRT's Converter takes it."""
    onnx = golden.need("onnx", "pip install onnx, which PopRT needs too")
    model = onnx.load(str(golden.model(said["model"])))
    model.ir_version = min(model.ir_version, IR_VERSION)
    if said["input_model"] != said["model"]:
        for function in [function for function in model.functions if function.domain == OWN]:
            model.functions.remove(function)
        onnx.save(model, str(golden.FOLDER / said["input_model"]))
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


def shown(outputs, inputs, said):
    """The outputs by name, with 0 behind each sequence: PopRT does not say what Unpack puts there."""
    if LENGTHS not in inputs:
        return outputs
    found = {name: value.copy() for name, value in outputs.items()}
    for name in said["token_outputs"]:
        for row, length in zip(found[name], inputs[LENGTHS][:, 0]):
            row[length:] = 0
    return found


def run_online(said, inputs):
    """The outputs by name, of sequences that come one by one to PopRT's PackRunner, as its example feeds them."""
    from poprt import runtime
    from poprt.backend import get_session

    folder, converted = str(golden.FOLDER), str(golden.FOLDER / said["converted"])
    get_session(converted, 1, "poprt", output_dir=folder, export_popef=True).load()
    runner = runtime.Runner(folder + "/executable.popef", runtime.PackRunnerConfig(**said["pack_runner"]))
    dtype = np.float16 if said["precision"] == "fp16" else np.float32
    lengths = inputs[LENGTHS][:, 0]
    tokens = {name: value.reshape(-1, *value.shape[2:]) for name, value in inputs.items() if name != LENGTHS}
    rows, waiting = np.flatnonzero(lengths), []
    for row in rows:
        end = lengths[: row + 1].sum()
        fed = {name: value[end - lengths[row] : end] for name, value in tokens.items()}
        fed[LENGTHS] = np.zeros(len(lengths), np.int32)
        made = {name: np.zeros(shape[1:], dtype) for name, shape in said["outputs"].items()}
        waiting.append((runner.execute_async(fed, made), made))
    found = {name: np.zeros([len(lengths), *shape[1:]], np.float32) for name, shape in said["outputs"].items()}
    for row, (future, made) in zip(rows, waiting):
        future.wait()
        for name, value in made.items():
            found[name][row] = value
    return found


if __name__ == "__main__":
    main()
