"""What a stated dimension says. This is asked once, where files are read."""

from __future__ import annotations

import functools

UNNAMED, FREE = "?", "~"
"""How names begin that the shape analysis gives: to a dimension without a name, to a number that may be negative."""

FAR = 10**9
"""No dimension is as large: a Slice that ends there ends with its axis. Exporters write this, 2³¹ - 1 and 2⁶³ - 1."""

GENERIC = frozenset(
    {"none", "null", "nil", "nan", "na", "any", "all", "auto", "default", "arbitrary", "inf", "infinity"}
    | {"unk", "unkn", "unknown", "undef", "undefined", "unspecified", "unnamed", "unset", "anonymous", "tbd"}
    | {"dyn", "dynamic", "free", "open", "flexible", "var", "variable", "varying", "symbol", "symbolic", "runtime"}
    | {"dim", "dims", "dimension"}
)
"""Names that exporters give to every open dimension. Two of one such name may have two sizes."""

_NOUNS = ("dimension", "dim", "axis", "axes", "size", "shape")


def stated(dim: int | str | None) -> int | str | None:
    """The dimension that a file states as `dim`; None where that says nothing.

    A negative number says nothing, and neither does a name that is no name: one without a letter (`?`, `-1`), or
    one that every open dimension may have (`None`, `unk`, `dynamic_axis`; not `unk__1`, which is one dimension's own).
    """
    if isinstance(dim, str):
        return None if _is_generic(dim) else dim
    return dim if dim is not None and dim >= 0 else None


@functools.lru_cache(4096)
def _is_generic(name: str) -> bool:
    word = "".join(c for c in name.casefold() if c.isalnum())
    bare = next((word.removesuffix(noun) for noun in _NOUNS if word.endswith(noun)), word)
    return name.startswith((UNNAMED, FREE)) or not any(map(str.isalpha, word)) or not {word, bare}.isdisjoint(GENERIC)
