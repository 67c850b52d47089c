"""Refusals are data: how they read, and what the code may say in them."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from regraft.errors import PassError
from regraft.ir.graph import Node
from regraft.pipelines.grammar import parse
from regraft.pipelines.pass_base import Context
from regraft.pipelines.registry import passes
from regraft.refusal import INFER_SHAPES, PassRef, Refusal, as_refusal, run_before
from tests.test_house import FOLDERS, ROOT

SOURCES = sorted(file for folder in ("regraft", *FOLDERS) for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize(
    ("refusal", "note"),
    [
        (Refusal("it is new"), "it is new"),
        (Refusal("it is new", "gelu"), "kept gelu: it is new"),
        (Refusal("it is new", heading="no mask to move"), "no mask to move: it is new"),
        (Refusal("it is new", "gelu", heading="kept gelu in training mode"), "kept gelu in training mode: it is new"),
        (run_before(INFER_SHAPES, "its rank is not known"), "its rank is not known; run infer-shapes before"),
    ],
)
def test_how_a_refusal_reads(refusal: Refusal, note: str) -> None:
    assert str(refusal) == note


def test_a_text_is_a_refusal_that_needs_nothing() -> None:
    told = run_before(INFER_SHAPES, "its rank is not known")
    assert as_refusal(told) is told
    assert as_refusal("its rank is not known; run infer-shapes before") == dataclasses.replace(told, needs=())


def test_an_error_of_a_pass_has_the_needs_of_its_refusal() -> None:
    refusal = run_before(INFER_SHAPES, "its rank is not known")
    error = PassError(refusal)
    assert (str(error), error.refusal, error.needs) == (refusal.reason, refusal, ("infer-shapes",))
    assert PassError(refusal.reason).needs == ()


def test_a_context_notes_what_is_refused() -> None:
    context = Context()
    context.refuse(run_before(INFER_SHAPES, "its rank is not known"), Node("Erf", "e"))
    context.refuse(Refusal("it is a constant"), heading="kept the mask 'm'")
    context.note("and a note")
    assert context.notes == [
        "kept e: its rank is not known; run infer-shapes before",
        "kept the mask 'm': it is a constant",
        "and a note",
    ]
    assert [(one.node, one.needs) for one in context.refusals] == [("e", ("infer-shapes",)), ("", ())]


# ------------------------------------------------------------------------------------------------ in the sources


def references(file: Path) -> Iterator[tuple[str, str]]:
    """Where a file refers to a pass, and the text, with 0 for what is put into it."""
    text = file.read_text()
    for node in ast.walk(ast.parse(text)) if "PassRef(" in text else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PassRef":
            (argument,) = node.args
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            texts = [str(part.value) if isinstance(part, ast.Constant) else "0" for part in parts]
            yield f"{file.relative_to(ROOT)}:{node.lineno}", "".join(texts)


REFERENCES = [found for file in SOURCES for found in references(file)]


def test_references_are_found() -> None:
    assert {text for _, text in REFERENCES} >= {"infer-shapes", "clamp-mask-value", "convert-opset{version=0}"}


@pytest.mark.parametrize(("where", "text"), REFERENCES)
def test_what_a_refusal_needs_is_a_pass_with_these_options(where: str, text: str) -> None:
    ((name, given),) = parse(PassRef(text))
    assert name in passes.names(), where
    assert given.keys() <= {option.name for option in passes.load(name).options()}, where


def returned(file: Path) -> Iterator[tuple[str, set[str]]]:
    """The functions of a file that return one of several types, and these."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.BinOp):
            types, pending = set[str](), list[ast.expr]([node.returns])
            while pending:
                one = pending.pop()
                if isinstance(one, ast.BinOp):
                    pending += [one.left, one.right]
                else:
                    types.add(ast.unparse(one))
            yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", types


def test_no_function_answers_by_a_text_that_it_declines() -> None:
    """A union with str is one of values: sizes and their names, texts and bytes, a pipeline or its text."""
    values = ({"int", "str"}, {"int", "str", "None"}, {"str", "None"}, {"str", "bytes"}, {"Pipeline", "str"})
    found = [(where, types) for file in SOURCES for where, types in returned(file)]
    assert any("Refusal" in types for _, types in found)
    assert [(where, types) for where, types in found if "str" in types and types not in values] == []
