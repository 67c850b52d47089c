"""Which pipelines may help a model that breaks a profile, and in which order to try them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from regraft.legality.profile import Profile
from regraft.legality.verdict import Violation
from regraft.pipelines.grammar import parse, parse_ungrouped
from regraft.pipelines.pass_base import EVERY, Pass
from regraft.pipelines.registry import passes
from regraft.refusal import PassRef, Refusal

SIZES = "set-shapes"
"""The pass that needs to be told what only the user knows: sizes."""

FAR = 4
"""The steps of an operator that no pass is there to take away; `fold-constants` still may."""

Rank = tuple[int, float]
MEND: Rank = (0, 0.0)
NEEDED: Rank = (3, 0.0)
HOST: Rank = (4, 0.0)
"""What the profile names; what the refusals of a pass that stayed idle need; what changes the inputs of the device."""


@dataclass(frozen=True, order=True)
class Candidate:
    """A pipeline to try. What costs the least comes first.

    Attributes:
        rank: what it costs: what the profile names costs nothing, then by contract, an approximation by its bound.
        unwelcome: the operators that it introduces and that the target lacks.
        sweeps: whether it is not about an operator; it then is of use only where less is left to mend.
    """

    rank: Rank
    unwelcome: tuple[str, ...]
    sweeps: bool
    text: str


class Candidates:
    """What to try, for the target of `profile`."""

    def __init__(self, profile: Profile):
        self.profile = profile

    def __call__(self, violations: Iterable[Violation]) -> list[Candidate]:
        """The candidates against `violations`: the mends, then passes that remove the operators.

        A limit of the whole model is mended last: an older opset lacks operators that lowerings know by name.
        """
        violations = sorted(violations, key=lambda one: not one.operator)
        mends = [Candidate(MEND, (), False, text) for one in violations for text in one.mend if not asks_sizes(text)]
        operators = {one.operator for one in violations if one.operator}
        others = [one for removes, one in self._passes if one.sweeps or removes & operators]
        found: dict[str, Candidate] = {}
        for candidate in (*mends, *sorted(others)):
            found.setdefault(candidate.text, candidate)
        return list(found.values())

    def needed(self, refusals: Iterable[Refusal], known: set[str]) -> list[Candidate]:
        """The passes that `refusals` need, but for those `known`, and those with options that only the user knows."""
        needs = {needed for refusal in refusals for needed in refusal.needs} - known
        return [Candidate(NEEDED, (), False, text) for text in sorted(needs) if not _asks_options(text)]

    def cost(self, violations: Iterable[Violation]) -> int:
        """How far `violations` are from mended, at a guess: for each node the steps that its operator takes.

        A limit of the whole model counts once: how many nodes it speaks of grows with every lowering.
        """
        return sum(len(one.nodes) * self._distance(one.operator) if one.operator else 1 for one in violations)

    def _distance(self, operator: str) -> int:
        return self._steps.get(operator, FAR) if self._lacks(operator) else 1

    @cached_property
    def _steps(self) -> dict[str, int]:
        """How many passes it takes until nothing of an operator is left, taken as a sum over what they introduce."""
        steps: dict[str, int] = {}
        removing = [(removes, one.unwelcome) for removes, one in self._passes]
        lacking = sorted(filter(self._lacks, frozenset().union(*(r.union(made) for r, made in removing)) - EVERY))
        for _ in lacking:
            before = dict(steps)
            for operator in lacking:
                ways = [1 + sum(before.get(o, FAR) for o in made) for gone, made in removing if operator in gone]
                steps[operator] = min(ways, default=FAR)
            if steps == before:
                break
        return steps

    @cached_property
    def _passes(self) -> list[tuple[frozenset[str], Candidate]]:
        """Every pass whose options all have defaults, in all forms that differ in operators; first what it removes."""
        forms = [one for name in passes.names() for one in _forms(passes.load(name))]
        return [(one.removes, self._candidate(one)) for one in forms]

    def _candidate(self, one: Pass) -> Candidate:
        return Candidate(_rank(one), tuple(sorted(filter(self._lacks, one.introduces))), one.removes == EVERY, str(one))

    def _lacks(self, operator: str) -> bool:
        """Whether the target takes no node of `operator`, whatever it is like."""
        gaps = self.profile.gaps.get(operator, ())
        if any(gap.when is None and gap.unless is None for gap in gaps):
            return True
        return self.profile.listed is not None and operator not in self.profile.listed.names


def asks_sizes(mend: str) -> bool:
    """Whether a mend is to fix sizes, and leaves it to the user which."""
    return any(one.name == SIZES and not one.options for one in parse(mend))


def _asks_options(text: PassRef) -> bool:
    """Whether a pass lacks an option that has no default."""
    return any(
        option.required and option.name not in given
        for name, given in parse_ungrouped(text)
        for option in passes.load(name).options()
    )


def _rank(one: Pass) -> Rank:
    contract = one.contract
    return HOST if contract.changes_interface else (2 if contract.bound else 1, contract.bound)


def _forms(kind: type[Pass]) -> Iterator[Pass]:
    """A pass with its defaults, and with each choice that makes it remove or introduce others."""
    if any(option.required for option in kind.options()):
        return
    plain = kind()
    yield plain
    for option in kind.options():
        for choice in option.choices:
            form = kind(**{option.attribute: choice})
            if (form.removes, form.introduces) != (plain.removes, plain.introduces):
                yield form
