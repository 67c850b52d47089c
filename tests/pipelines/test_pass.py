from __future__ import annotations

import json
from typing import ClassVar, Literal

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from regraft.errors import PipelineError
from regraft.ir.graph import Graph, Node, Variable
from regraft.ir.model import Model
from regraft.pipelines.manager import run
from regraft.pipelines.options import Bytes, Shapes, option
from regraft.pipelines.pass_base import TYPES, Change, Context, Need, Pass
from regraft.verification.contract import approximation, exact


class Fold(Pass):
    """Compute what is constant.

    More of it.
    """

    name = "fold"
    max_bytes: Bytes = option("1MiB", "how many bytes the file may grow by")
    keep: tuple[str, ...] = option((), "ops to keep")
    table: ClassVar[dict[str, int]] = {}
    _cache: int = 3


class Lower(Pass):
    name = "lower"
    form: Literal["tanh", "erf"] = "tanh"

    @property
    def contract(self):
        return approximation(4.73e-4) if self.form == "tanh" else exact


class LowerToErf(Lower):
    name = "lower-to-erf"
    form = "erf"


class SetShapes(Pass):
    name = "set-shapes"
    propagate: bool = True
    shapes: Shapes = option({}, "inputs")


class Convert(Pass):
    name = "convert"
    version: int = option(help="the opset to convert to")


class Asked(Pass):
    """Needs what is arranged, where there is a node to look at."""

    name = "asked"
    log: ClassVar[list[str]] = []
    needs = (
        Need("first", lambda model: Asked.log.append("first")),
        Need("second", lambda model: Asked.log.append("second")),
    )

    def has_work(self, model):
        return any(node.op == "Relu" for node in model.nodes())

    def run(self, model, context):
        self.log.append("run")


class AskedAgain(Asked):
    """One that is made of another, and needs no more."""

    name = "asked-again"


@pytest.mark.parametrize("kind", [Asked, AskedAgain])
@pytest.mark.parametrize("op", ["Relu", "Neg"])
def test_what_a_pass_needs_is_arranged_where_it_has_work(kind, op, monkeypatch):
    monkeypatch.setattr(Asked, "log", [])
    model = Model(Graph([Node(op, "one", inputs=[x := Variable("x")], outputs=[y := Variable("y")])], [x], [y]))
    kind().run(model, Context())
    run(model, [kind])
    assert Asked.log == ["first", "second", "run"] * 2 * (op == "Relu")


def test_types_are_declared_for_those_who_need_them():
    x, y = Variable("x", np.float32, ["n", 3]), Variable("y")
    model = Model(Graph([Node("Relu", "one", inputs=[x], outputs=[y])], [x], [y], opset=20))
    for need in type("NeedsTypes", (Pass,), {"name": "needs-types", "needs": (TYPES,)}).needs:
        need.arrange(model)
    assert (y.dtype, y.shape) == (np.float32, ["n", 3])


def test_options_have_their_defaults_and_are_described():
    assert (Fold().max_bytes, Fold().keep) == (2**20, ())
    assert Fold.max_bytes == 2**20
    described = [(o.name, o.type, str(o.default), o.help) for o in Fold.options()]
    assert described == [
        ("max-bytes", "bytes", "1MiB", "how many bytes the file may grow by"),
        ("keep", "{text,...}", "()", "ops to keep"),
    ]
    assert Fold.help() == "Compute what is constant."


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Fold(), "fold"),
        (Fold(max_bytes="1MiB"), "fold"),
        (Fold(max_bytes=2**10), "fold{max-bytes=1KiB}"),
        (Fold(**{"max-bytes": "2GB"}), "fold{max-bytes=2GB}"),
        (Fold(keep=["a", "b,c"]), 'fold{keep={a,"b,c"}}'),
        (Lower(form="erf"), "lower{form=erf}"),
        (LowerToErf(), "lower-to-erf"),
        (Convert(version=17), "convert{version=17}"),
        (SetShapes(input_ids=(8, 128), propagate=False), "set-shapes{propagate=false,input_ids=8x128}"),
        (SetShapes(a="1", shapes={"b": "2"}, c="3"), "set-shapes{a=1,b=2,c=3}"),
        (SetShapes(shapes={"a-b": "batchx8"}, ids=["max_len"]), "set-shapes{a-b=batchx8,ids={max_len}}"),
    ],
    ids=str,
)
def test_a_pass_prints_as_its_text(made, text):
    assert str(made) == text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fold(max_byte=1), ["fold", "'max_byte'", "did you mean 'max-bytes'"]),
        (lambda: Fold(max_bytes="1Q"), ["fold", "max-bytes", "'1Q'", "1MiB"]),
        (lambda: Lower(form="tan"), ["lower", "form", "'tan'", "tanh, erf"]),
        (lambda: Convert(), ["convert", "version", "int", "must be given"]),
        (lambda: SetShapes(x="8xx1"), ["set-shapes", "shapes", "not a dimension"]),
    ],
)
def test_bad_options_are_named_in_one_line(make, words):
    with pytest.raises(PipelineError) as raised:
        make()
    message = str(raised.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_type_that_is_no_option_is_refused_at_the_class():
    with pytest.raises(PipelineError, match=r"Odd\.size cannot be an option"):

        class Odd(Pass):
            size: list[int] = option([])


def test_contracts():
    assert Fold().contract is exact
    assert Lower().contract == approximation(4.73e-4)
    assert LowerToErf().contract is exact


def test_equality_and_hash_go_by_class_and_options():
    assert Fold(keep="a") == Fold(keep=("a",))
    assert len({Fold(), Fold(), Fold(max_bytes=1)}) == 2
    assert Lower(form="erf") != LowerToErf()


def test_defaults_are_not_shared():
    SetShapes().shapes["x"] = (1,)
    assert SetShapes().shapes == {}


def test_context_records_names_at_once_and_marks_new_nodes():
    old = Node("Erf", "erf_1", outputs=[Variable("e")])
    kept = Node("Add", "add", outputs=[Variable("a")])
    new, plain, nameless = Node("Gelu", "gelu"), gs.Node("Mul", "mul"), Node("Erf", outputs=[Variable("y")])
    context = Context("fuse-gelu", known=[kept])
    context.replaced([old, nameless], [new, kept, plain], rule="exact")
    old.name = "renamed"
    assert context.changes == [Change("exact", ("erf_1", "%y"), ("gelu", "add", "mul"))]
    assert new.metadata["regraft.pass"] == plain.metadata["regraft.pass"] == "fuse-gelu"
    assert json.loads(new.metadata["regraft.replaces"]) == ["erf_1", "%y"]
    assert not kept.metadata


def test_what_takes_the_place_of_a_node_is_of_its_stage():
    first, second = Node("Pow", "pow"), Node("Erf", "erf")
    first.metadata, second.metadata = {"regraft.stage": "layer.0"}, {"regraft.stage": "layer.1"}
    new, placed, kept = Node("Mul", "mul"), Node("Add", "add"), Node("Exp", "exp")
    placed.metadata = {"regraft.stage": "head"}
    Context("a-pass", known=[kept]).replaced([Node("Neg", "neg"), first, second], [new, placed, kept])
    assert [node.metadata.get("regraft.stage") for node in (new, placed, kept)] == ["layer.0", "head", None]


def test_context_alone_is_enough_to_run_a_pass():
    context = Context()
    assert list(context.progress([1, 2])) == [1, 2]
    context.replaced([Node("Erf", "e")])
    context.note("nothing else")
    assert (len(context.changes), context.notes) == (1, ["nothing else"])
