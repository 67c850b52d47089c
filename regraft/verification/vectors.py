"""Test vectors: tensors, strings, sequences, maps and optionals, in files and as Python values.

In a `.npz` file a sequence `boxes` stands as `boxes/length`, `boxes/0`, `boxes/1` and so on, a map `scores` as
`scores/keys` and `scores/values`, an optional without a value as `scores/none`; bfloat16 and similar dtypes stand as
float32, strings as numpy's own. In JSON a sequence is a list, a map an object, an optional without a value null.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.files.stream import write_file
from regraft.ir.graph import Variable
from regraft.ir.weights import Array
from regraft.outside import read_arrays, read_json
from regraft.verification.signature import Port

_TEXTS = ["the", "graph", "keeps", "what", "it", "means", "when", "a", "node", "gives", "way"]
_VOCABULARIES = ("string_vocabulary", "int64_vocabulary")


class InputError(RegraftError):
    """Inputs that cannot be read, or that the model does not take."""


# ------------------------------------------------------------------------------------------------ files


def load_vectors(path: Path, ports: Mapping[str, Port]) -> dict[str, Any]:
    """What the `.npz`, `.npy` or `.json` file at `path` holds, by the names of `ports` where it has theirs.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix == ".json":
        content = read_json(path, InputError)
        if not isinstance(content, dict):
            raise InputError(f"{path}: must be an object, a value for each input's name")
        return content
    if path.suffix not in (".npy", ".npz"):
        raise InputError(f"'{path}' is no source of inputs: give a .npz, .npy or .json file, or name=8x128")
    arrays = read_arrays(path, InputError)
    found = {name: arrays.pop(name) for name in ports if name in arrays}
    for name, port in ports.items():
        if name not in found and any(key.startswith(f"{name}/") for key in arrays):
            found[name] = _take(port, name, arrays, path)
    return found | arrays


def _take(port: Port, name: str, arrays: dict[str, Any], path: Path) -> Any:
    """Remove the value named `name` from `arrays` and return it."""
    if arrays.pop(f"{name}/none", None) is not None:
        return None
    if port.kind == "optional" and port.inner:
        return _take(port.inner, name, arrays, path)
    try:
        if port.kind == "seq" and port.inner:
            return [_take(port.inner, f"{name}/{i}", arrays, path) for i in range(int(arrays.pop(f"{name}/length")))]
        if port.kind == "map":
            keys, values = (arrays.pop(f"{name}/{part}") for part in ("keys", "values"))
            return dict(zip(keys.tolist(), values, strict=True))
        return arrays.pop(name)
    except KeyError as error:
        raise InputError(f"{path}: input '{port.name}' takes {port}, and there is no {error}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: input '{port.name}' takes {port}: {error}") from error


def save_vectors(path: Path, values: Mapping[str, Any]) -> None:
    """Write values into a `.npz` file; equal values give equal files. Raises ModelError where the file cannot be
    written."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in flat(values).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    write_file(path, content.getbuffer())


def flat(values: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays that represent `values` in a `.npz` file."""
    found: dict[str, Array] = {}
    for name, value in values.items():
        if value is None:
            found[f"{name}/none"] = np.zeros(0, np.int8)
        elif isinstance(value, Mapping):
            found[f"{name}/keys"] = plain(list(value))
            found[f"{name}/values"] = plain(list(value.values()))
        elif isinstance(value, list | tuple):
            found[f"{name}/length"] = np.array(len(value))
            found |= flat({f"{name}/{i}": item for i, item in enumerate(value)})
        else:
            found[name] = plain(value)
    return found


def plain(value: Any) -> Array:
    """`value` in a dtype of numpy's files: bfloat16 and similar dtypes as float32, 4-bit integers as int8."""
    array = np.asarray(value)
    if array.dtype == np.object_:
        return array.astype(str)
    if array.dtype.isbuiltin != 2:
        return array
    return array.astype(np.int8 if "int" in array.dtype.name else np.float32)


def as_lists(value: Any) -> Any:
    """`value` as values for JSON."""
    if isinstance(value, Mapping):
        return {str(key): as_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_lists(item) for item in value]
    return None if value is None else plain(value).tolist()


# ------------------------------------------------------------------------------------------------ values


def typed(value: Any, port: Port) -> Any:
    """A value of JSON, or of numpy, as a caller gives it for `port`.

    Raises:
        InputError: it is none that `port` takes.
    """
    if port.kind == "optional" and port.inner:
        return None if value is None else typed(value, port.inner)
    if port.kind == "seq" and port.inner:
        if not isinstance(value, list | tuple):
            raise InputError(f"input '{port.name}' takes {port}: give a list")
        return [typed(item, port.inner) for item in value]
    if port.kind == "map" and port.inner and port.key is not None:
        if not isinstance(value, Mapping):
            raise InputError(f"input '{port.name}' takes {port}: give an object, a value for each key")
        return {_key(key, port): _scalar(item, port) for key, item in value.items()}
    if port.kind != "tensor":
        return value
    if isinstance(value, np.ndarray):
        return value.astype(port.dtype) if _stands_for(value, port) else value
    array = _array(value, port)
    if array.dtype.kind in "iu" and not np.array_equal(array, np.array(value)):
        raise InputError(f"input '{port.name}' takes {port}: not all that is given are whole numbers")
    return array


def received(value: Any, port: Port) -> Any:
    """A value from ONNX Runtime for `port`, with the numbers of maps in the dtype that the model states."""
    if isinstance(value, list) and port.inner:
        return [received(item, port.inner) for item in value]
    if isinstance(value, dict) and port.inner:
        dtype = port.inner.dtype
        return value if dtype is None else {key: np.asarray(item, dtype)[()] for key, item in value.items()}
    return value


def make_map(port: Port, reader: Variable, random: np.random.Generator) -> dict[Any, Any]:
    """A map for `port`: with some of the keys that a user of the input knows, else with made-up ones."""
    texts = port.key == np.object_
    known = next((n.attrs[name] for n in reader.outputs for name in _VOCABULARIES if name in n.attrs), None)
    keys = list(known or (_TEXTS if texts else range(len(_TEXTS))))
    chosen = random.permutation(len(keys))[: max(1, len(keys) // 2)]
    inner = port.inner.dtype if port.inner else None
    if inner == np.object_:
        return {keys[i]: str(random.choice(_TEXTS)) for i in sorted(chosen)}
    numbers = random.standard_normal(len(chosen)) if inner is None or inner.kind == "f" else random.integers(0, 9, 99)
    return {_key(keys[i], port): np.asarray(x, inner)[()] for i, x in zip(sorted(chosen), numbers, strict=False)}


def _stands_for(array: Array, port: Port) -> bool:
    """Whether `array` has the dtype that numpy's files have in place of the dtype of `port`."""
    if port.dtype == np.object_:
        return array.dtype.kind == "U"
    return port.exotic and array.dtype == plain(np.zeros(0, port.dtype)).dtype


def _key(key: Any, port: Port) -> Any:
    if port.key == np.object_:
        return key.decode() if isinstance(key, bytes) else str(key)
    try:
        return int(key)
    except ValueError as error:
        raise InputError(f"input '{port.name}' takes {port}: key {key!r} is no whole number") from error


def _scalar(value: Any, port: Port) -> Any:
    assert port.inner
    array = _array(value, port.inner)
    if array.ndim:
        raise InputError(f"input '{port.name}' takes {port}: a map holds single values, not shape {list(array.shape)}")
    return array[()]


def _array(value: Any, port: Port) -> Array:
    try:
        return np.array(value, dtype=port.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"input '{port.name}' takes {port}: {error}") from error
