"""The ways to run sequences of different lengths: which model, and which sequences share a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from regraft.batching.cost import work
from regraft.batching.form import Form, Row
from regraft.batching.policy import ByTokens, Fixed, Padded, Policy
from regraft.ir.weights import Array
from regraft.packers.arrival import first_fit, next_fit
from regraft.packers.histogram import first_fit_decreasing

Run = Callable[[dict[str, Array]], dict[str, Array]]
"""Computes the outputs of a batch from its inputs, by name, as `Session.run`."""

CALLS = (256, 512, 1024, 2048)
"""Candidates for the tokens of a call of a packed model."""


@dataclass(frozen=True, eq=False)
class Way:
    """A model, and the policy of its calls.

    Attributes:
        model: its name for users; empty where there is only one.
        width: the least number of tokens that rows are padded to.
    """

    model: str
    form: Form
    run: Run
    policy: Policy
    width: int = 0

    @property
    def name(self) -> str:
        policy = f"padded to {self.width}" if self.width else self.policy.name
        return f"{self.model}: {policy}" if self.model else policy

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """The rows of each call."""
        return self.policy.groups([row.length for row in rows])

    def call(self, rows: Sequence[Row]) -> list[dict[str, Array]]:
        """The outputs of each of the rows of one call."""
        return self.form.parted(self.run(self.form.joined(rows, self.width)), rows)

    def work(self, rows: Sequence[Row]) -> Array:
        """The work of one call; see `cost.work`."""
        return work(self.form, [row.length for row in rows], self.width)


def find_ways(model: str, form: Form, run: Run, *, batch: int, longest: int) -> list[Way]:
    """The ways of one model.

    Args:
        batch: rows of a call, where the model does not fix them.
        longest: tokens of the longest sequence.
    """
    if not form.together:
        return [Way(model, form, run, Padded(1))]
    if form.packed is not None:
        packers = [next_fit] if form.packed.across_rows else [next_fit, first_fit, first_fit_decreasing]
        return [Way(model, form, run, Fixed(form.packed, packer)) for packer in packers]
    if isinstance(form.batch, int):
        return [Way(model, form, run, Padded(form.batch))]
    if form.packing is None:
        batches = [Padded(batch), Padded(batch, ordered=True), Padded(1)]
        return [Way(model, form, run, policy) for policy in batches]
    ordered = form.packing == "gather"  # attention pads to the longest row of a call
    sizes = [tokens for tokens in CALLS if tokens >= longest] or [longest]
    policies: list[Policy] = [*(ByTokens(tokens, ordered=ordered) for tokens in sizes), Padded(1)]
    return [Way(model, form, run, policy) for policy in policies]
