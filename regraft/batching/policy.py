"""Which sequences share a call: a policy groups the waiting rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from regraft.batching.form import Form
from regraft.errors import RegraftError
from regraft.ir.model import Model
from regraft.packers.arrival import best_fit, first_fit, next_fit
from regraft.packers.fits import PackedShape
from regraft.packers.limits import Array, Limits, Packing
from regraft.wording import count


class Policy(Protocol):
    """Puts waiting rows into calls."""

    @property
    def name(self) -> str: ...

    @property
    def is_online(self) -> bool:
        """Whether it suits rows that arrive one by one."""

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """The indices of the rows of each call, in the order of the calls.

        Args:
            lengths: tokens of each row, in the order of arrival.
        """

    def is_full(self, lengths: Sequence[int]) -> bool:
        """Whether the waiting rows fill a call, so that waiting longer gains nothing."""


@dataclass(frozen=True)
class Padded:
    """As many rows as a batch has, padded to the longest of them.

    Attributes:
        batch: rows of a call.
        ordered: whether rows of like lengths are put together.
    """

    batch: int
    ordered: bool = False
    is_online: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "one by one" if self.batch == 1 else "sorted" if self.ordered else "padded to the longest"

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        order = np.argsort(lengths, kind="stable").tolist() if self.ordered else list(range(len(lengths)))
        return [order[i : i + self.batch] for i in range(0, len(order), self.batch)]

    def is_full(self, lengths: Sequence[int]) -> bool:
        return len(lengths) >= self.batch


@dataclass(frozen=True)
class ByTokens:
    """Rows up to a total number of tokens, which is what one call of a packed model holds.

    Attributes:
        tokens: of a call; a longer row has a call of its own.
        rows: the largest number in a call; None: any number.
        ordered: whether rows of like lengths are put together.
    """

    tokens: int
    rows: int | None = None
    ordered: bool = False
    is_online: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"packed, {count(self.tokens, 'token')} a call"

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        order = np.argsort(lengths, kind="stable").tolist() if self.ordered else range(len(lengths))
        made: list[list[int]] = []
        held = self.tokens
        for row in order:
            if held + lengths[row] > self.tokens or len(made[-1]) == self.rows:
                made.append([])
                held = 0
            made[-1].append(row)
            held += lengths[row]
        return made

    def is_full(self, lengths: Sequence[int]) -> bool:
        return sum(lengths) >= self.tokens or (self.rows is not None and len(lengths) >= self.rows)


@dataclass(frozen=True)
class Fixed:
    """As many rows as fit the fixed shape of a packed model.

    Attributes:
        algorithm: puts them into it: one of `regraft.runtime.packing.ALGORITHMS`.
    """

    shape: PackedShape
    algorithm: Callable[[Array, Limits], Packing] = next_fit

    @property
    def is_online(self) -> bool:
        return self.algorithm in (next_fit, first_fit, best_fit)

    @property
    def name(self) -> str:
        across = ", across rows" if self.shape.across_rows else f", {self.algorithm.__name__}"
        return f"packed, {self.shape.rows} × {self.shape.tokens}{across}"

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        return self.algorithm(np.asarray(lengths, np.int64), self.shape.limits).groups()

    def is_full(self, lengths: Sequence[int]) -> bool:
        shape = self.shape
        whole = sum(lengths) >= shape.rows * shape.tokens or len(lengths) >= shape.sequences
        return whole or len(self.groups(lengths)) > 1


def check_policy(policy: Policy, form: Form) -> None:
    """Raise RegraftError if a policy puts more rows into a call than the model takes."""
    most = form.most
    if most is not None and any(len(group) > most for group in policy.groups([1] * (most + 1))):
        raise RegraftError(
            f"the model takes {count(most, 'sequence')} at a time, and '{policy.name}' puts more into a call"
        )


def default_policy(model: Model, form: Form) -> Policy:
    """The policy for a model without measurements."""
    if not form.together:
        return Padded(1)
    if form.packed is not None:
        return Fixed(form.packed)
    if isinstance(form.batch, int):
        return Padded(form.batch)
    return ByTokens(512) if form.ragged else Padded(16)
