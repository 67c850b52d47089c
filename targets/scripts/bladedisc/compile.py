"""Compile device.onnx with BladeDISC, in 32 and in 16 bits: `torch_blade.optimize`. Its dynamic axes stay dynamic.

    python compile.py            convert, check, compile, compare, time, save compiled-fp32.pt and compiled-fp16.pt
    python compile.py --check    all that needs no SDK

Needs torch, onnx, onnx2torch and numpy; to compile, torch_blade. Runs on a GPU where torch has one, else on the CPU.
What BladeDISC says of each cluster (TorchScript, MHLO, logs) is kept in dump_dir. Exit code: 0 right, 1 refused or
wrong, 2 something is missing.
"""

from __future__ import annotations

import os

import golden
import torch_module
import torch_steps
from torch_steps import torch


def main():
    given = torch_steps.arguments(__doc__)
    said, ports = golden.parameters(), golden.manifest()["device"]
    os.environ["TORCH_BLADE_DEBUG_LOG"] = "on"  # it writes dump_dir, into the folder where it runs
    os.chdir(str(golden.FOLDER))
    torch_steps.say_versions("numpy", "onnx", "torch_blade")
    torch_blade = None if given.check else torch_steps.sdk(said)
    sizes = [vectors(place, ports) for place in said["golden"]]
    module = torch_module.load(golden.model("device.onnx"))
    for example, expected in sizes:
        torch_steps.hold("the torch module", module, example, expected, said["tolerances"])
    traced = torch_module.trace(module, sizes[0][0])
    for example, expected in sizes[1:]:
        torch_steps.hold("the trace, at other sizes", traced, example, expected, said["tolerances"])
    counted = torch_module.operators(traced.inlined_graph)
    torch_steps.share(counted, golden.read("operators.json"))
    if given.check:
        print("not run: torch_blade.optimize, and what comes after it")
        return

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = module.to(device)
    sizes = [(tuple(tensor.to(device) for tensor in example), expected) for example, expected in sizes]
    example = sizes[0][0]
    print(f"Seqlen: {[list(tensor.shape) for tensor in example]}")
    baseline = torch_steps.clock(module, example, given.runs, example[0].shape[0])
    for file in said["files"]:
        optimized = optimize(torch_blade, module, example, half=file["half"])
        report(torch_blade, optimized, counted)
        torch.jit.save(optimized, file["name"])
        for inputs, expected in sizes:
            torch_steps.hold(file["name"], optimized, inputs, expected, file["compiled"])
        average = torch_steps.clock(optimized, example, given.runs, example[0].shape[0])
        print(f"Baseline: {baseline * torch_steps.MILLISECONDS:.3f} ms")
        print(f"BladeDISC: {average * torch_steps.MILLISECONDS:.3f} ms")
        print(f"BladeDISC speedup: {baseline / average:.2f}")
    print("both are right; run.py runs them")


def vectors(place, ports):
    """Inputs in `place` of the bundle, and what must come of them."""
    inputs, outputs = golden.vectors(place + "device_inputs"), golden.vectors(place + "outputs")
    example = torch_steps.tensors(inputs, [port["name"] for port in ports["inputs"]])
    return example, {port["name"]: outputs[port["name"]] for port in ports["outputs"]}


def optimize(torch_blade, module, example, half):
    """The module as BladeDISC compiles it, with matrix products in 16 bits or without."""
    config = torch_blade.Config()
    name = "enable_fp16" if hasattr(config, "enable_fp16") else "enable_mlir_amp"  # as it was called before
    setattr(config, name, half)
    with torch.no_grad(), config:
        return torch_blade.optimize(module, allow_tracing=True, model_inputs=example)


def report(torch_blade, optimized, counted):
    """Print the clusters and what they hold."""
    left = torch_module.operators(optimized.graph)
    print(f"clusters: {torch_blade.mlir.num_engines(optimized)}")
    compiled = torch_blade.mlir.num_compiled_nodes(optimized)
    print(f"nodes compiled: {compiled}, of {sum(counted.values())} operators that were traced")
    print("left over: " + (", ".join(f"{kind} x{count}" for kind, count in sorted(left.items())) or "none"))


if __name__ == "__main__":
    main()
