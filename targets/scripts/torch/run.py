"""Run what compile.py compiled: inputs of the original model in, its outputs out.

    python run.py --inputs golden/inputs.npz --outputs outputs.npz

The host's part runs in ONNX Runtime, the device's in the compiled module. From Python:

    from run import Compiled
    outputs = Compiled().run({"input_ids": ids, "attention_mask": mask})

Needs numpy, onnxruntime, torch and the SDK.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import golden
import torch_steps
from golden import np
from torch_steps import torch


class Compiled:
    """The compiled model, with the inputs and outputs of the original.

    Where it was compiled for several sizes, the smallest that holds the inputs runs: they are filled up with zeros,
    which a mask hides, and the outputs are cut back.
    """

    def __init__(self):
        said, self.manifest = golden.parameters(), golden.manifest()
        golden.need(said["sdk"], said["install"])
        self.device = torch.device("cuda" if said["sdk"] == "torch_blade" and torch.cuda.is_available() else "cpu")
        self.sizes = sorted(
            said["files"], key=lambda file: (np.prod(list(file["sizes"].values()) or [1]), file["name"])
        )
        self.modules = {}
        self.host = None
        if self.manifest.get("host", {}).get("model"):
            onnxruntime = golden.need("onnxruntime", "pip install onnxruntime")
            path = golden.model(self.manifest["host"]["model"])
            self.host = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(self, inputs):
        """The outputs by name, from arrays by name."""
        known = self._sizes(inputs)
        chosen = next((file for file in self.sizes if _holds(file["sizes"], known)), None)
        if chosen is None:
            golden.stop("nothing was compiled for {}; there is {}".format(known, [f["sizes"] for f in self.sizes]))
        filled = {
            port["name"]: _filled(inputs[port["name"]], port["shape"], chosen["sizes"])
            for port in self.manifest["inputs"]
        }
        fed = self._fed(filled)
        names = [port["name"] for port in self.manifest["device"]["outputs"]]
        module = self._module(chosen["name"])
        made = torch_steps.named(torch_steps.run(module, [tensor.to(self.device) for tensor in fed]), names)
        return {port["name"]: _cut(made[port["name"]], port, known) for port in self.manifest["outputs"]}

    def _sizes(self, inputs):
        """The size of each named dimension."""
        found = {}
        for port in self.manifest["inputs"]:
            if port["name"] not in inputs:
                golden.stop("no value for input '{}'".format(port["name"]))
            for dim, size in zip(port["shape"], np.shape(inputs[port["name"]])):
                if dim != size and not isinstance(dim, str):
                    golden.stop("input '{}' has shape {}".format(port["name"], port["shape"]))
                if found.setdefault(dim, size) != size:
                    golden.stop(f"inputs disagree on the size of '{dim}'")
        return {dim: size for dim, size in found.items() if isinstance(dim, str)}

    def _fed(self, inputs):
        """What the device is fed, in its order."""
        made = {}
        if self.host is not None:
            names = [output.name for output in self.host.get_outputs()]
            taken = {port.name for port in self.host.get_inputs()}
            made = dict(zip(names, self.host.run(names, {name: inputs[name] for name in inputs if name in taken})))
        arrays = []
        for port in self.manifest["device"]["inputs"]:
            source = port["from"]
            arrays.append(made[source["host"]] if "host" in source else inputs[source["input"]])
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]

    def _module(self, name):
        if name not in self.modules:
            if not (golden.FOLDER / name).is_file():
                golden.stop(f"{golden.FOLDER / name} is not there: run compile.py first")
            self.modules[name] = torch.jit.load(str(golden.FOLDER / name), map_location=self.device)
        return self.modules[name]


def _holds(sizes, known):
    return all(sizes.get(dim, size) >= size for dim, size in known.items())


def _filled(value, shape, sizes):
    """`value` with zeros behind it, up to `sizes`."""
    value = np.asarray(value)
    more = [(0, sizes.get(dim, size) - size) for dim, size in zip(shape, value.shape)]
    return np.pad(value, more)


def _cut(value, port, known):
    """`value` without what was computed of the zeros, as the dtype of the original's output."""
    kept = tuple(slice(known.get(dim)) for dim in port["shape"] or ())
    return value[kept].astype(port["dtype"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", required=True, help="a .npz file with an array for each input")
    parser.add_argument("--outputs", required=True, help="the .npz file to write")
    given = parser.parse_args()
    if not Path(given.inputs).is_file():
        golden.stop(f"{given.inputs} is not there")
    with np.load(given.inputs) as file:
        outputs = Compiled().run(dict(file))
    np.savez(given.outputs, **outputs)
    for name, value in outputs.items():
        print(f"{name}: {value.dtype} {list(value.shape)}")


if __name__ == "__main__":
    main()
