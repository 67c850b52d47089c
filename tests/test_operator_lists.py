"""What operators do stands in `regraft/ops/traits.py`, and nowhere else: lists of them are found by their names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import onnx

ROOT = Path(__file__).parents[1]
FOLDERS = ("regraft", "passes", "targets", "frontends", "models")
OPERATORS = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
MANY = 4

DECLARED = ("introduces", "removes", "operators")
"""What a pass says of itself."""

KNOWN = {
    "regraft/mixed_precision/layers.py:_BEHIND_PRODUCTS": "what exporters write activations with",
    "regraft/mixed_precision/losses.py:SCALES": "a judgement of half precision: which constants count by their digits",
    "regraft/mixed_precision/policy.py:KEPT": "a policy: what half precision leaves alone",
    "regraft/mixed_precision/sizes.py:WIDENING": "transfer functions of sizes, by class",
    "regraft/mixed_precision/sizes.py:NARROWING": "transfer functions of sizes, by class",
    "regraft/mixed_precision/sizes.py:SHRINKING": "transfer functions of sizes, by class",
    "regraft/mixed_precision/sizes.py:_reached": "transfer functions of sizes, by class",
    "regraft/opset/broadcast.py:ARITHMETIC": "ONNX's history: what had an attribute for broadcasting",
    "regraft/opset/forms.py:_TAKE_AN_AXIS": "ONNX's history: what took negative axes later",
    "regraft/opset/wider.py:_INTEGERS_TOO": "ONNX's history: what took floats only",
    "regraft/idioms/embeddings.py:_SCALING": "what exporters write normalizations with",
    "regraft/lowering/integer_narrowing.py:TAKES_INT32": "kernels of ONNX Runtime, all run by tests of the pass",
    "regraft/idioms/additive_mask.py:MASKING": "what exporters apply masks with",
    "regraft/proving/counterexample.py:_SINGLE": "what ONNX's evaluator computes in single precision",
    "regraft/proving/meanings.py:MEANINGS": "the table of meanings, by operator",
    "regraft/proving/narrowing.py:_GROW": "what makes whole numbers larger than they were given, and so may overflow",
    "regraft/verification/input_roles.py:_SAME_SHAPE": "through what a table of an export is looked up",
    "passes/externalize_gates.py:CONDITIONS": "what exporters compute conditions with",
}
"""Lists that are no trait, and what they are instead."""


def lists(source: str) -> Iterator[tuple[str, set[str]]]:
    """Where operators are listed, by the name that is given to the list or the function around, and which.

    A table by operator is none: its keys are those that it knows how to handle.
    """
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found: dict[ast.AST, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            names = {one.value for one in node.elts if isinstance(one, ast.Constant) and one.value in OPERATORS}
            root: ast.AST = node
            while is_part(root, parents[root]):
                root = parents[root]
            found.setdefault(root, set()).update(names)
    for root, names in found.items():
        around = list(ancestors(root, parents))
        if not any(isinstance(one, ast.Call) and ast.unparse(one.func) == "dict.fromkeys" for one in around):
            yield name_of(around), names


def is_part(node: ast.AST, parent: ast.AST) -> bool:
    """Whether `parent` is a larger collection with what is in `node`."""
    if isinstance(parent, ast.Call):
        return ast.unparse(parent.func) in ("frozenset", "set", "tuple", "list")
    if isinstance(parent, ast.BinOp):
        return not (isinstance(parent.op, ast.Sub) and parent.right is node)
    return isinstance(parent, ast.Starred) or isinstance(node, ast.Starred)


def ancestors(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while node in parents:
        node = parents[node]
        yield node


def name_of(around: list[ast.AST]) -> str:
    functions = [one.name for one in around if isinstance(one, ast.FunctionDef)]
    assigned = [ast.unparse(one.targets[0]) for one in around if isinstance(one, ast.Assign)]
    assigned += [ast.unparse(one.target) for one in around if isinstance(one, ast.AnnAssign)]
    return (functions or assigned or [""])[0]


def test_operators_are_listed_among_the_traits() -> None:
    long = {
        f"{file.relative_to(ROOT)}:{name}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        if not file.is_relative_to(ROOT / "regraft" / "ops")
        for name, operators in lists(file.read_text())
        if len(operators) >= MANY and name not in DECLARED
    }
    assert sorted(long - set(KNOWN)) == [], "name a trait of regraft/ops/traits.py instead, or add it there"
    assert sorted(set(KNOWN) - long) == [], "no longer there"


def test_lists_are_found() -> None:
    every = dict(lists('A = frozenset({"Add", "Mul"} | {"Sub", *B})\nC = ("Add", "x")\n'))
    assert every == {"A": {"Add", "Mul", "Sub"}, "C": {"Add"}}
    assert dict(lists('def f(n):\n    return n.op in ("Add", "Sub")\n')) == {"f": {"Add", "Sub"}}


def test_tables_by_operator_are_no_lists() -> None:
    assert not list(lists('T = {"Add": add, "Sub": sub, **dict.fromkeys(("Mul", "Div"), f)}\n'))
