"""Checks before a model is served: it must reproduce its golden outputs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regraft.batching.form import Form, Row
from regraft.batching.policy import Policy
from regraft.batching.queue import AHEAD
from regraft.errors import ModelError, VerificationError
from regraft.files.bundle import MANIFEST, inside, read_manifest
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.outside import check_form, read_arrays
from regraft.targeting.compiler import same_floats
from regraft.verification.contract import Contract, exact
from regraft.verification.runtime import Session
from regraft.verification.vectors import flat, load_vectors, typed
from regraft.verification.verify import coarsest_float

_GOLDEN = {"golden?": {"inputs": str, "outputs": str}, "contract?": {"name": str}}
"""A manifest's entries about its golden vectors."""


def hold_golden(session: Session, folder: Path, model: Model) -> dict[str, Any] | None:
    """Run a bundle's golden vectors once more; their inputs, or None where it has none.

    Raises:
        VerificationError: the outputs are not those of the original, within the contract of the pipeline and the
            rounding of other kernels.
        ModelError: the bundle cannot be read.
    """
    manifest = read_manifest(folder)
    where = f"{folder / MANIFEST} is no manifest of a bundle"
    check_form(manifest, _GOLDEN, where)
    if "golden" not in manifest:
        return None
    ports = {port.name: port for port in (*session.inputs, *session.defaults)}
    given = load_vectors(inside(folder, manifest["golden"]["inputs"]), ports)
    inputs = {name: typed(value, ports[name]) if name in ports else value for name, value in given.items()}
    wanted = read_arrays(inside(folder, manifest["golden"]["outputs"]), ModelError)
    try:
        contract = Contract(**manifest["contract"]) if "contract" in manifest else exact
    except TypeError as error:
        raise ModelError(f"{where}: contract: {error}") from error
    drift = (contract + same_floats).check(wanted, flat(session.run(inputs)), computed_in=coarsest_float(model))
    if not drift.passed:
        raise VerificationError(f"{folder} does not give its golden outputs on this machine: {drift.failures[0]}")
    return inputs


def rehearse(
    run: Callable[[dict[str, Array]], Mapping[str, Array]], form: Form, policy: Policy, inputs: Mapping[str, Any]
) -> str:
    """Make the smallest call and the fullest, so that no client waits for slow first calls.

    Returns:
        Why sequences get other outputs in a shared call than alone; empty where they do not.
    """
    rows = form.rows(inputs)
    longest = max(rows, key=lambda row: row.length)
    for count in (1, len(policy.groups([longest.length] * AHEAD)[0])):
        run(form.joined([longest] * count))
    if form.mask is not None:
        rows = [row for row in rows if row.inputs[form.mask].any()]  # without a token no output has a meaning
    shared = [rows[i] for i in policy.groups([row.length for row in rows])[0]] if rows else []
    for row, part in zip(shared, form.parted(run(form.joined(shared)), shared) if shared else (), strict=True):
        if why := _differs(_alone(run, form, row), part):
            return why
    return ""


def _alone(run: Callable[[dict[str, Array]], Mapping[str, Array]], form: Form, row: Row) -> dict[str, Array]:
    return form.parted(run(form.joined([row])), [row])[0]


def _differs(alone: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    before = {name: np.asarray(value) for name, value in alone.items()}
    after = {name: np.asarray(shared[name])[tuple(map(slice, value.shape))] for name, value in before.items()}
    drift = same_floats.check(before, after)
    return "" if drift.passed else str(drift.failures[0])
