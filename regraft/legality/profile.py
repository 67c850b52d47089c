"""What a target takes, as a data file says it: the limits of a whole model, the operators, and the gaps in them.

`docs/custom-targets.md` describes the file; the dataclasses here, in `limits` and in `conditions` are its keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from regraft.legality.conditions import Condition
from regraft.legality.constraints import Truth, over
from regraft.legality.limits import Limits
from regraft.legality.lines import Line, Mend, check_mend, check_operator
from regraft.legality.node_view import Site
from regraft.legality.tables import ProfileError, Where, read
from regraft.outside import read_toml

SUFFIX = ".toml"


@dataclass(frozen=True)
class Listed:
    """A published list of operators.

    Attributes:
        names: the operators; `domain::name` where they are not ONNX's own. A local function of such a name is taken
            for the operator.
        mend: by operator that is not listed, pipelines that may take it out.
    """

    names: tuple[str, ...]
    source: str = ""
    reason: str = "not in the list of operators"
    mend: dict[str, Mend] = field(default_factory=dict)

    def check(self, where: Where) -> None:
        """Raise ProfileError for a mend that is no pipeline, or of an operator that needs none."""
        for operator, mend in self.mend.items():
            check_operator(operator, where.at("mend"))
            check_mend(mend, where.at("mend").at(operator))
            if operator in self.names:
                raise where.at("mend").error(f"'{operator}' is listed, and needs no mend; write a gap")


@dataclass(frozen=True, kw_only=True)
class Gap(Line):
    """Something about an operator that is not taken: where `when` holds, and `unless` does not."""

    operator: tuple[str, ...]
    when: Condition | None = None
    unless: Condition | None = None

    def check(self, where: Where) -> None:
        """Raise ProfileError for an operator, an attribute or an input that does not exist."""
        super().check(where)
        if not self.operator:
            raise where.at("operator").error("name an operator")
        for operator in self.operator:
            check_operator(operator, where.at("operator"))
        for key, condition in (("when", self.when), ("unless", self.unless)):
            if condition is not None:
                condition.check_names(self.operator, where.at(key))

    def holds(self, site: Site) -> Truth:
        """Whether `site` is not taken; None where that hangs on what is not known."""
        when = True if self.when is None else self.when.holds(site, "some")
        unless = False if self.unless is None else self.unless.holds(site, "every")
        return over("every", (when, None if unless is None else not unless))


@dataclass(frozen=True)
class Profile:
    """What a target takes.

    Attributes:
        operators: "any" of ONNX's and of `domains`, or "listed" ones only.
        source: where the facts come from that name no other source.
        foreign: operators of its own that files keep in ONNX's domain.
        description, pipeline: of a target that has no class, but this file.
    """

    operators: Literal["any", "listed"]
    source: str
    description: str = ""
    pipeline: str = ""
    domains: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    listed: Listed | None = None
    gap: tuple[Gap, ...] = ()

    def check(self, where: Where) -> None:
        """Raise ProfileError where the list is missing, or nobody reads it."""
        if (self.operators == "listed") != (self.listed is not None):
            raise where.error('operators = "listed" goes with a table [listed], "any" goes without')
        check_mend((self.pipeline,), where.at("pipeline"))

    @cached_property
    def gaps(self) -> dict[str, list[Gap]]:
        """The gaps of each operator, in the file's order."""
        found: dict[str, list[Gap]] = {}
        for gap in self.gap:
            for operator in gap.operator:
                found.setdefault(operator, []).append(gap)
        return found


def read_profile(path: Path) -> Profile:
    """The profile in the TOML file at `path`.

    Raises:
        ProfileError: it cannot be read; or a key or a value is unknown, missing or wrong.
    """
    profile: Profile = read(Profile, read_toml(path, ProfileError), Where(str(path)))
    return profile
