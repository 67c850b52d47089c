"""Inputs to run a model on, made from what each input means, or given by the user."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import UnknownNameError
from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.verification.input_roles import channels, input_role, longest_sequence, sizing_values
from regraft.verification.signature import Port
from regraft.verification.size_names import own_dimensions
from regraft.verification.sizes import Given, Sizes
from regraft.verification.trials import USUAL, Trial
from regraft.verification.values import make_values
from regraft.verification.vectors import InputError, load_vectors, make_map, typed
from regraft.wording import count

CEILING = 2**30
"""Bytes of the inputs of one trial, at most."""

_SMALL = 2**20  # bytes of a default that a trial overrides


def make_inputs(model: Model, *, seed: int = 0, given: Given | None = None, trial: Trial = USUAL) -> dict[str, Any]:
    """An input for each graph input without a default value.

    Usually indices lie inside their table, masks are ones followed by zeros with the first row full, floats are
    standard normal, an open dimension is a batch of 2 or a sequence of 16, shorter where the model has fewer positions;
    another `trial` makes others. Dimensions of one name have one size. The same seed gives the same inputs.

    Raises:
        InputError: a given input or shape does not fit the model, or the inputs would take too much memory.
        UnknownNameError: the model has no input of that name.
    """
    given = given or Given()
    variables = {v.name: reader(v, model) for v in model.inputs}
    for name in (*given.values, *given.shapes):
        if name not in variables:
            raise UnknownNameError("input", name, variables)
    asked = {*given.values, *given.shapes}
    overridden = overrides(model, trial.overrides) if trial.overrides else {}
    variables = {name: v for name, v in variables.items() if v.default is None or name in asked}
    ports = {name: Port.of_variable(v) for name, v in variables.items()}
    sizes = Sizes(ports, given, trial.scale, longest_sequence(model))
    stream = () if trial.name == USUAL.name else trial.name.encode()
    maker = _Maker(sizes, trial, sizing_values(model))
    values = {}
    for name, port in ports.items():
        # each from its own stream, so that an input's values do not depend on the others
        random = np.random.default_rng([seed, *stream, *name.encode()])
        values[name] = given.values[name] if name in given.values else maker.make(port, variables[name], random)
    return values | {name: value for name, value in overridden.items() if name not in values}


def overrides(model: Model, factor: float) -> dict[str, Any]:
    """`factor` times the small floats that are inputs with a default, where sizes do not depend on these."""
    if model.graph.ir_version is not None and model.graph.ir_version < 4:
        return {}
    sizing = sizing_values(model)
    found = {}
    for variable in model.inputs:
        default = variable.default
        if default is None or default.nbytes > _SMALL or variable in sizing or default in sizing:
            continue
        if np.dtype(default.dtype).kind == "f":
            found[variable.name] = np.asarray(default.values * np.asarray(factor, default.dtype))
    return found


def reader(variable: Variable, model: Model) -> Variable:
    """The variable of an input on the side of a split model that reads it."""
    if model.host is None or variable.outputs:
        return variable
    return next((v for v in model.graph.inputs if v.name == variable.name and v.name not in model.host.feeds), variable)


def read_given(texts: Iterable[str], model: Model) -> Given:
    """Read texts such as `inputs.npz`, `inputs.json`, `x=x.npy`, `x=8x128` and `batch=4`.

    `batch` and `sequence` are these dimensions whatever the model calls them.

    Raises:
        InputError: a file cannot be read, or a text is none of these.
        UnknownNameError: a size is of no dimension of the model.
    """
    ports = {v.name: Port.of_variable(v) for v in model.inputs}
    values: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    dims: dict[str, int] = {}
    for text in texts:
        name, _, right = text.rpartition("=")
        if not name:
            values |= load_vectors(Path(text), ports)
        elif re.fullmatch(r"\d+(x\d+)*|\(\)", right):
            shape = tuple(map(int, re.findall(r"\d+", right)))
            if name in ports or len(shape) != 1:
                shapes[name] = shape
            else:
                dims[name] = shape[0]
        else:
            found = list(load_vectors(Path(right), {name: ports[name]} if name in ports else {}).values())
            if len(found) != 1:
                raise InputError(f"{right} holds {count(len(found), 'array')}; give '{name}' a file with one")
            values[name] = found[0]
    known = {n: typed(v, ports[n]) if n in ports else v for n, v in values.items()}
    return Given(known, shapes, own_dimensions(model, dims))


class _Maker:
    """Makes the inputs of one trial, as long as the memory for them lasts."""

    def __init__(self, sizes: Sizes, trial: Trial, sizing: set[Any]):
        self.sizes, self.trial, self.sizing = sizes, trial, sizing
        self.room = CEILING

    def make(self, port: Port, variable: Variable, random: np.random.Generator) -> Any:
        if port.kind == "seq" and port.inner:
            return [self.make(port.inner, variable, random) for _ in range(2)]
        if port.kind == "optional" and port.inner:
            return self.make(port.inner, variable, random)
        if port.kind == "map":
            return make_map(port, variable, random)
        if port.kind != "tensor":
            raise InputError(f"input '{port.name}' is a {port.kind}, which is not generated: give it in a .json file")
        what = input_role(variable, port, variable in self.sizing)
        if what.dim:
            what = replace(what, rows=self.sizes.named.get(what.dim, 1))
        shape = self.sizes.shape(port, channels(variable) if what.kind == "float" else None)
        dtype = np.dtype(port.dtype or np.float32)
        self.room -= (nbytes := math.prod(shape) * dtype.itemsize)
        if self.room < 0:
            raise InputError(
                f"input '{port.name}' of shape {list(shape)} would take {nbytes / 2**30:.1f} GiB, and made inputs have "
                f"{CEILING / 2**30:.0f} GiB in all: give smaller sizes, --inputs {port.name}=..."
            )
        return make_values(what, shape, dtype, self.trial, random)
