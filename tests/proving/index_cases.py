"""Operators that lay elements out along other axes, cut and join axes, and look elements up."""

from __future__ import annotations

import numpy as np

from regraft.rewriting.facts import Operand
from tests.proving.cases import Case

INDEX = Operand("b k", "integer")


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def layouts() -> list[Case]:
    found = [
        Case("Reshape", (axes,), {"shape": shape})
        for axes, shape in (
            *(("6 4", [2, 3, 4]), ("2 3 4", [6, 4]), ("2 3 4", [4, 6]), ("12", [3, 1, 4]), ("6 6", [4, 9])),
            *(("a b k", [0, -1]), ("a 6", [0, 2, 3]), ("a 6", [-1, 3]), ("a b", [-1]), ("6 a", [2, -1, 3])),
            *(("1 6", [6]), ("1 1", [1]), ("6 4 1", [2, -1]), ("b a 6", [0, 0, 3, 2]), ("a b 2 3", [0, 0, -1])),
        )
    ]
    found += [Case("Reshape", ("a 6", ints(-1, 2, 3))), Case("Reshape", ("6 a", ints(2, -1)), {"allowzero": 1})]
    found += [Case("Flatten", (axes,), {"axis": axis}) for axes in ("2 3 4", "a b k", "a 1") for axis in (0, 1, 2, -1)]
    found += [Case("Expand", ("a 1",), {"shape": [2, 1, 4]}), Case("Expand", ("1 4", ints(3, 1)))]
    found += [Case("Tile", (axes,), {"repeats": times}) for axes in ("3 4", "a b", "1 b") for times in ([2, 1], [3, 2])]
    for mode in ("DCR", "CRD"):
        found += [Case("DepthToSpace", (axes,), {"blocksize": 2, "mode": mode}) for axes in ("a 8 2 3", "2 12 b 1")]
    found += [Case("SpaceToDepth", (axes,), {"blocksize": 2}) for axes in ("a 3 4 6", "b 2 2 4")]
    none, doubled = np.zeros(0, np.float32), np.array([1, 1, 2, 3], np.float32)
    found += [Case("Resize", ("2 3 4 2", none, doubled), {"mode": "nearest"})]
    floor = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    found += [
        Case("Resize", ("b 3 k 2", None, doubled), floor),
        Case("Resize", ("2 3", None, None, ints(4, 12)), floor),
    ]
    return [*found, Case("Squeeze", ("1 3 1",)), Case("Squeeze", ("1 a 1",), {"axes": [0, -1]})]


def parts() -> list[Case]:
    found = [
        Case("Slice", (axes,), {"starts": starts, "ends": ends, "axes": along, **more})
        for axes, starts, ends, along, more in (
            *(("6 4", [1], [4], [0], {}), ("6 4", [-3], [10**10], [0], {}), ("6 4", [0, 1], [-1, 3], [0, 1], {})),
            *(("6", [1], [6], [0], {"steps": [2]}), ("6", [-1], [-(10**10)], [0], {"steps": [-1]})),
            *(
                ("6", [4], [0], [0], {"steps": [-2]}),
                ("6", [-100], [100], [0], {}),
                ("6", [5], [-100], [-1], {"steps": [-3]}),
            ),
            *(("a k", [1], [10**10], [0], {}), ("a k", [0], [1], [1], {}), ("a k", [-1], [10**10], [1], {})),
            *(("a k", [0], [-1], [0], {}), ("k", [-1], [-(10**10)], [0], {"steps": [-1]})),
        )
    ]
    found += [Case("Slice", ("6 4", ints(2), ints(5))), Case("Slice", ("6 4", ints(1), ints(9), ints(1), ints(2)))]
    for axis in (0, 1, -1):
        found += [Case("Concat", ("3 3", "3 3"), {"axis": axis}), Case("Concat", ("3 3", "3 3", "3 3"), {"axis": axis})]
    found += [Case("Concat", ("4 a", "2 a", "1 a"), {"axis": 0}), Case("Concat", ("a k", "b k"), {"axis": 0})]
    found += [Case("Concat", ("B a", "B b"), {"axis": -1}), Case("Concat", ("k", "k"), {"axis": 0}, kind="boolean")]
    for pads in ([1, 0, 2, 3], [0, 2, 0, 0], [-1, 0, 0, -1], [-1, 1, 2, -1]):
        found += [Case("Pad", (axes,), {"pads": pads}) for axes in ("6 4", "a k")]
    found += [Case("Pad", ("6 4", ints(1, 2), np.array(1.5, np.float32), ints(-1)))]
    return found


def lookups() -> list[Case]:
    found = [Case("Gather", ("3 4", INDEX), {"axis": axis}) for axis in (0, 1, -1)]
    found += [Case("Gather", ("a 6 c", at), {"axis": 1}) for at in (ints(4, 0, -1), np.array(2), np.array([[1], [5]]))]
    found += [Case("Gather", ("a c", Operand("b", "integer")), {"axis": axis}) for axis in (0, 1)]
    found += [Case("Gather", ("4", Operand("", "integer")), {"axis": 0})]
    for axis in (0, 1, -1):
        found += [Case("GatherElements", ("4 4", Operand("4 4", "integer")), {"axis": axis})]
        found += [Case("GatherElements", ("3 4", np.array([[0, 1], [2, -1]])), {"axis": axis})]
    found += [Case("GatherND", ("3 4 k", Operand("b 2", "integer"))), Case("GatherND", ("a 4", np.array([[1], [0]])))]
    found += [Case("GatherND", ("b 3 k", Operand("b m 1", "integer")), {"batch_dims": 1})]
    numbers = (np.array(4), np.array([0.5, 2.0], np.float32))
    found += [Case("OneHot", (INDEX, *numbers), {"axis": axis}) for axis in (-1, 0, 1)]
    found += [Case("EyeLike", ("a k",), {"k": k}) for k in (0, 1, -1)]
    found += [
        Case("Shape", ("a 6 1",)),
        Case("Shape", ("a 6 b",), {"start": 1}),
        Case("Shape", ("a 6 b",), {"end": -1}),
    ]
    found += [Case("Size", ("a 6 b",)), Case("ConstantOfShape", (ints(2, 3),))]
    return [
        *found,
        Case("Range", (np.array(0), np.array(5), np.array(1))),
        Case("Range", (np.array(6), np.array(2), np.array(-1))),
    ]


CASES = [*layouts(), *parts(), *lookups()]
