"""The bundle's parameters and golden vectors, and how far a device's outputs lie from them. Needs numpy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
WRONG, MISSING = 1, 2
"""Exit codes: the device computes something else; something that is needed is not there."""


def stop(line, code=MISSING):
    """End with one line."""
    print(line, file=sys.stderr)
    sys.exit(code)


def parameters():
    """What `handoff.json` says."""
    try:
        return json.loads((FOLDER / "handoff.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        stop(f"{FOLDER / 'handoff.json'} cannot be read ({error}); write the bundle again")


def vectors(what):
    """The arrays of `golden/{what}.npz` by name: `inputs`, `device_inputs` or `outputs`."""
    path = FOLDER / "golden" / f"{what}.npz"
    try:
        with np.load(path) as file:
            return dict(file)
    except (OSError, ValueError) as error:
        stop(f"{path} cannot be read ({error}); write the bundle again")


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
