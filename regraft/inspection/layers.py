"""In which layers of a model something happened, in few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def in_layers(layers: Sequence[str]) -> str:
    """`2 in each of layer.0-11`, `in layer.0-3,7`; empty where no layer is known. One item of `layers` is one place."""
    found = Counter(filter(None, layers))
    if not found:
        return ""
    of_prefix: dict[str, list[int]] = {}
    for layer in found:
        prefix, _, number = layer.rpartition(".")
        of_prefix.setdefault(prefix, []).append(int(number))
    ranges = ", ".join(f"{prefix}.{_ranges(sorted(numbers))}" for prefix, numbers in of_prefix.items())
    even = len(found) > 1 and len(set(found.values())) == 1
    elsewhere = len(layers) - found.total()
    return f"{f'{max(found.values())} in each of' if even else 'in'} {ranges}" + f", {elsewhere} elsewhere" * (
        elsewhere > 0
    )


def _ranges(numbers: Iterable[int]) -> str:
    """`0-3,7`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ",".join("-".join(map(str, ends)) for ends in found)
