"""The bundle's files, read or refused in one line, and how far a device's outputs lie from its own. Needs numpy."""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
WRONG, MISSING = 1, 2
"""Exit codes: the device computes something else; something that is needed is not there."""
AGAIN = "copy the bundle again, or write it again"


def stop(line, code=MISSING):
    """End with one line."""
    print(line, file=sys.stderr)
    sys.exit(code)


def need(package, install):
    """A package; ends with one line where it, or a library that it loads, is not installed."""
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        stop(f"{package} is not there ({reason}): {install}")


np = need("numpy", "pip install numpy")


def parameters():
    """What `handoff.json` says."""
    return read("handoff.json")


def manifest():
    """What `manifest.json` says."""
    return read("manifest.json")


def read(name):
    """What a JSON file of the bundle says."""
    try:
        return json.loads((FOLDER / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        stop(f"{FOLDER / name} cannot be read ({error}); {AGAIN}")


def model(name):
    """The path of an ONNX file of the bundle; ends where that, or what has its weights, is not there as a whole."""
    sizes = {one: said["bytes"] for one, said in manifest()["files"].items()}
    for part in (one for one in sizes if one == name or one.startswith(name + ".")):
        path = FOLDER / part
        if not path.is_file():
            stop(f"{path} is missing; {AGAIN}")
        if path.stat().st_size != sizes[part]:
            stop(f"{path} has {path.stat().st_size} bytes, not {sizes[part]}; {AGAIN}")
    return FOLDER / name


def arrays(name):
    """The arrays of an `.npz` of the bundle by name."""
    try:
        with np.load(FOLDER / name) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        stop(f"{FOLDER / name} cannot be read ({error}); {AGAIN}")


def vectors(what):
    """The arrays of `golden/{what}.npz` by name: `inputs`, `device_inputs` or `outputs`."""
    return arrays(f"golden/{what}.npz")


def compare(found, expected, tolerances):
    """Print the largest error of each output, and whether it is within `atol + rtol * |expected|` everywhere.

    Args:
        found, expected: arrays by name.
        tolerances: of each output, `atol` and `rtol`.

    Returns:
        Whether all are.
    """
    passed = True
    for name, right in expected.items():
        error, allowed = difference(found.get(name), right, **tolerances[name])
        verdict = "ok" if allowed else "WRONG"
        passed = passed and allowed
        print(f"{name}: {error}: {verdict}")
    return passed


def difference(found, right, atol, rtol):
    """How far `found` lies from `right`, as text, and whether it is allowed."""
    if found is None:
        return "there is no such output", False
    found = np.asarray(found)
    if found.ndim == right.ndim:  # a packed device gives its most sequences and tokens; the caller's are the first ones
        found = found[tuple(slice(size) for size in right.shape)]
    if found.shape != right.shape:
        return f"shape {list(found.shape)}, not {list(right.shape)}", False
    if right.dtype.kind not in "fc":
        wrong = int(np.count_nonzero(found != right))
        return f"{wrong} of {right.size} values differ", not wrong
    found, right = found.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error, same = np.abs(found - right), (found == right) | (np.isnan(found) & np.isnan(right))
    error[same] = 0.0
    outside = int(np.count_nonzero(~(error <= atol + rtol * np.abs(right))))
    largest = f"max abs error {error.max(initial=0.0):.3g} of {np.abs(right).max(initial=0.0):.3g}"
    return f"{largest}, {outside} of {right.size} values outside the tolerance", not outside
