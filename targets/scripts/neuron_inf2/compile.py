"""Compile device.onnx for Inferentia 2 or Trainium with torch-neuronx: `torch_neuronx.trace`, once for each bucket.

    python compile.py            convert, check, analyze, compile, compare, time, save
    python compile.py --check    all that needs no SDK

Needs torch, onnx, onnx2torch and numpy; to compile, torch-neuronx and neuronx-cc; to run what was compiled, an inf2 or
trn1 instance. Exit code: 0 right, 1 refused or wrong, 2 something is missing.
"""

from __future__ import annotations

import golden
import torch_module
import torch_steps
from torch_steps import torch


def main():
    given = torch_steps.arguments(__doc__)
    said, ports = golden.parameters(), golden.manifest()["device"]
    torch_steps.say_versions("numpy", "onnx", "torch_neuronx")
    torch_neuronx = None if given.check else torch_steps.sdk(said)
    prepared = [prepare(file, said, ports) for file in said["files"]]
    if given.check:
        print("not run: torch_neuronx.analyze, torch_neuronx.trace, and what comes after them")
        return

    analyze(torch_neuronx, *prepared[0][:2])
    for file, (module, example, expected) in zip(said["files"], prepared):
        print("compiling {}: {}".format(file["name"], " ".join(said["compiler_args"])))
        compiled = torch_neuronx.trace(
            module,
            example,
            compiler_args=said["compiler_args"],
            compiler_workdir=str(golden.FOLDER / (file["name"] + "-work")),
        )
        torch.jit.save(compiled, str(golden.FOLDER / file["name"]))
        torch_steps.hold("the compiled module", compiled, example, expected, file["compiled"])
        torch_steps.clock(compiled, example, given.runs, example[0].shape[0])
    print("all are right; run.py takes the smallest that holds its inputs")


def prepare(file, said, ports):
    """The module for one bucket, its inputs, and what it must make of them; ends where it does not."""
    inputs = golden.vectors(file["golden"] + "device_inputs")
    outputs = golden.vectors(file["golden"] + "outputs")
    example = torch_steps.tensors(inputs, [port["name"] for port in ports["inputs"]])
    expected = {port["name"]: outputs[port["name"]] for port in ports["outputs"]}
    module = torch_module.load(golden.model("device.onnx"), example)
    torch_steps.hold("the torch module for {}".format(file["name"]), module, example, expected, file["tolerances"])
    counted = torch_module.operators(torch_module.trace(module, example).inlined_graph)
    print("{} operators: {}".format(sum(counted.values()), ", ".join(sorted(counted))))
    return module, example, expected


def analyze(torch_neuronx, module, example):
    """Print the share of operators that neuronx-cc takes, and those that it does not; end where there are such."""
    found = torch_neuronx.analyze(module, example)
    print("supported by neuronx-cc {}: {}".format(found.get("neuronx_cc_version"), found["support_percentage"]))
    left = ["{} ({})".format(one["kind"], one["failureAt"]) for one in found["unsupported_operators"]]
    if left:
        golden.stop("neuronx-cc does not take " + ", ".join(left), golden.WRONG)


if __name__ == "__main__":
    main()
