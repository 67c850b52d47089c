"""Compile device.onnx for Inferentia 1 with torch-neuron: `torch_neuron.trace`.

    python compile.py            convert, check, compile, compare, time, save compiled.pt
    python compile.py --check    all that needs no SDK

Needs torch, onnx, onnx2torch and numpy; to compile, torch-neuron and neuron-cc; to run what was compiled, an inf1
instance. Exit code: 0 right, 1 refused or wrong, 2 something is missing.
"""

from __future__ import annotations

import golden
import torch_module
import torch_steps
from golden import np
from torch_steps import torch

COMPILED = "compiled.pt"
ENOUGH = 99.0
"""Percent of the operators that must be placed on the device."""


def main():
    given = torch_steps.arguments(__doc__)
    said, ports = golden.parameters(), golden.manifest()["device"]
    torch_steps.say_versions("numpy", "onnx", "torch_neuron")
    torch_neuron = None if given.check else torch_steps.sdk(said)
    example = torch_steps.tensors(golden.vectors("device_inputs"), [port["name"] for port in ports["inputs"]])
    outputs = golden.vectors("outputs")
    expected = {port["name"]: outputs[port["name"]] for port in ports["outputs"]}
    check_io(ports["inputs"], example)

    module = torch_module.load(golden.model("device.onnx"), example)
    torch_steps.hold("the torch module", module, example, expected, said["tolerances"])
    traced = torch_module.operators(torch_module.trace(module, example).inlined_graph)
    enough(torch_steps.share(traced, golden.read("operators.json")))
    if given.check:
        print("not run: torch_neuron.trace, and what comes after it")
        return

    compiled = torch_neuron.trace(
        module, example, compiler_args=said["compiler_args"], compiler_workdir=str(golden.FOLDER / "neuron-cc")
    )
    enough(report(traced, torch_module.operators(compiled.inlined_graph)))
    torch.jit.save(compiled, str(golden.FOLDER / COMPILED))
    torch_steps.hold("the compiled module", compiled, example, expected, said["compiled"])
    same_classes(compiled, example, expected, said["compiled"])
    torch_steps.clock(compiled, example, given.runs, ports["inputs"][0]["shape"][0])
    print(f"{COMPILED} is right; run.py runs it")


def check_io(inputs, example):
    """See that io-config.json, for those who call neuron-cc themselves, says what the example is."""
    said = golden.read("io-config.json")["inputs"]
    for port, tensor in zip(inputs, example):
        shape, dtype = said[port["name"] + ":0"]
        if shape != list(tensor.shape) or "torch." + dtype != str(tensor.dtype):
            golden.stop("io-config.json does not fit golden/device_inputs.npz at '{}'".format(port["name"]))


def report(before, after):
    """Print what became of the operators, and give the percentage that is on the device."""
    subgraphs = sum(count for kind, count in after.items() if kind.startswith("neuron::"))
    left = {kind: count for kind, count in after.items() if not kind.startswith("neuron::") and kind in before}
    total = sum(before.values())
    placed = total - sum(left.values()) if subgraphs else 0
    percent = 100.0 * placed / total
    print(f"Number of operations in compiled model: {sum(after.values())}")
    print(f"Number of Neuron subgraphs in compiled model: {subgraphs}")
    print(f"Number of operations placed on Neuron runtime: {placed} of {total}, {percent:.2f} %")
    if left:
        print("left on the host: " + ", ".join(f"{kind} x{count}" for kind, count in sorted(left.items())))
    return percent


def enough(percent):
    if percent <= ENOUGH:
        golden.stop(f"more than {ENOUGH} % is wanted on the device, {percent:.2f} % is", golden.WRONG)


def same_classes(compiled, example, expected, tolerances):
    """See that the largest value of each row stays where it was, if it is larger than the next by more than may be."""
    found = torch_steps.named(torch_steps.run(compiled, example), list(expected))
    for name, right in expected.items():
        allowed = tolerances[name]["atol"] + tolerances[name]["rtol"] * abs(right).max(-1)
        best = np.sort(right, axis=-1)[..., -2:]
        moved = found[name].argmax(-1) != right.argmax(-1)
        print(f"{name}: the largest value moved in {int(moved.sum())} of {moved.size} rows")
        if (moved & (best[..., -1] - best[..., 0] > 2 * allowed)).any():
            golden.stop(f"{name}: the compiled module decides otherwise", golden.WRONG)


if __name__ == "__main__":
    main()
