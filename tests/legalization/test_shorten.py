"""Models with fewer of the layers that they repeat, and the search on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from regraft.errors import RegraftError
from regraft.ir import verifier
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.legalization import legalize as legalization
from regraft.legalization import search, shorten
from regraft.legalization.explain import explain
from regraft.legalization.legalize import Legalized, legalize
from regraft.legalization.search import Search
from regraft.legalization.shorten import KEPT, shortened
from regraft.models import chain
from regraft.passes.fuse_layer_norm import FuseLayerNorm
from regraft.pipelines.pass_base import Context
from regraft.verification.runtime import Session
from tests.legality.small import model
from tests.legalization.test_legalize import lacking

LAYER = "a{i} = Mul (x{i}, w{i}) b{i} = Erf (a{i}) c{i} = Add (b{i}, mask) x{j} = Sub (c{i}, x{i})"
PERIOD = 115
"""Nodes of the chain until it repeats itself."""


@pytest.fixture(autouse=True)
def few_nodes_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shorten, "LARGE", 20)


def layers(layer: Callable[[int], str] | str = LAYER, count: int = 12, more: str = "", size: str = "4") -> Model:
    """A model of layers; in the text of each `{i}` is its number, and `{j}` that of the next.

    Args:
        more: values that are inputs and outputs of the model, one of each layer.
        size: of the output's last axis.
    """
    texts = [layer] * count if isinstance(layer, str) else list(map(layer, range(count)))
    lines = " ".join(text.format(i=i, j=i + 1) for i, text in enumerate(texts))
    weights = ", ".join(f"float[4] w{i} = {{{i}, 1, 2, 3}}" for i in range(count))
    inputs = "".join(f", float[n, 4] given{i}" for i in range(count) if "given" in more)
    outputs = "".join(f", float[n, 4] {more}{i}" for i in range(count) if more and "given" not in more)
    return model(
        f"(float[n, 4] x, float[n, 4] hides, bool on{inputs}) => (float[n, {size}] y{outputs}) <{weights}>"
        f"{{ mask = Neg (hides) x0 = Relu (x) {lines} y = Tanh (x{count}) }}"
    )


def kinds(found: Model) -> set[tuple[str, ...]]:
    """Each operator with those that it reads from."""
    return {
        (
            node.op,
            *("weight" if isinstance(t, Constant) else t.inputs[0].op if t.inputs else t.name for t in node.inputs),
        )
        for node in found.graph.nodes
    }


def test_layers_that_repeat_go_but_for_some() -> None:
    whole = layers()
    few = shortened(whole)
    assert few is not None
    assert len(whole.graph.nodes) == 3 + 12 * 4
    assert len(few.graph.nodes) == 3 + KEPT * 4
    assert kinds(few) == kinds(whole)
    verifier.check(few)
    assert [t.name for t in (*few.graph.inputs, *few.graph.outputs)] == ["x", "hides", "on", "y"]
    given = {name: np.ones((2, 4), np.float32) for name in ("x", "hides")} | {"on": np.array(True)}
    assert Session(few).run(given)["y"].shape == (2, 4)


def test_how_many_layers_there_were_does_not_tell() -> None:
    assert {len(few.graph.nodes) for count in (8, 16, 64) if (few := shortened(layers(count=count)))} == {3 + KEPT * 4}


@pytest.mark.parametrize(
    "other",
    [
        "a{i} = Mul (x{i}, w{i}) b{i} = Tanh (a{i}) c{i} = Add (b{i}, mask) x{j} = Sub (c{i}, x{i})",
        "a{i} = Mul (x{i}, w{i}) b{i} = Erf (a{i}) c{i} = Add (b{i}, hides) x{j} = Sub (c{i}, x{i})",
        "a{i} = Mul (x{i}, w{i}) b{i} = Erf (a{i}) c{i} = Add (b{i}, mask) x{j} = Sub (c{i}, a{i})",
        "a{i} = Mul (x{i}, w{i}) b{i} = Erf (a{i}) c{i} = Add (b{i}, mask) x{j} = Sub (x{i}, c{i})",
    ],
)
def test_a_layer_unlike_the_others_stays(other: str) -> None:
    whole = layers(lambda i: other if i == 7 else LAYER)
    few = shortened(whole)
    assert few is not None
    assert len(few.graph.nodes) < len(whole.graph.nodes)
    assert kinds(few) == kinds(whole)
    assert len([k for k in kinds(few) if k not in kinds(layers())]) >= 1


def test_an_attribute_makes_another_layer() -> None:
    odd = "b{i} = Softmax <axis = 0> (x{i}) c{i} = Add (b{i}, mask) x{j} = Sub (c{i}, x{i})"
    few = shortened(layers(lambda i: odd if i == 7 else odd.replace("0", "1", 1), 16))
    assert few is not None
    assert Counter(node.attrs["axis"] for node in few.graph.nodes if node.op == "Softmax")[0] == 1


@pytest.mark.parametrize(
    "whole",
    [
        layers(count=4),
        layers(LAYER.replace("mask", "given{i}"), more="given"),
        layers(more="c"),
        layers("b{i} = Erf (x{i}) x{j} = Concat <axis = 1> (b{i}, mask)", 24, size="m"),
        layers("x{j} = If (on) <then_branch = f () => (float[n, 4] t) {{ t = Erf (x{i}) }},"
               " else_branch = g () => (float[n, 4] e) {{ e = Neg (mask) }}>", 40),
    ],
    ids=["small", "inputs of their own", "outputs of their own", "growing", "bodies"],
)  # fmt: skip
def test_layers_stay(whole: Model) -> None:
    assert shortened(whole) is None


def legal(length: int = 7) -> tuple[Legalized, Model]:
    made = chain.build(length * PERIOD)
    return legalize(made, lacking("Erf", "Pow")), made


def test_the_pipeline_is_that_of_the_search_with_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    done, made = legal()
    monkeypatch.setattr(legalization, "shortened", lambda whole: None)
    expected, other = legal()
    assert done.pipeline == expected.pipeline
    assert explain(done) == explain(expected)
    assert done.report is not None
    assert done.report.drift is not None
    assert done.report.drift.passed
    assert [(n.op, n.name) for n in made.nodes()] == [(n.op, n.name) for n in other.nodes()]
    assert not lacking("Erf", "Pow").check(made)


def test_what_is_tried_does_not_grow_with_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(length: int) -> tuple[int, int, int]:
        tried, judged = list[int](), list[int]()
        run, judge = Search._run, search.judge
        with monkeypatch.context() as patch:
            patch.setattr(
                Search, "_run", lambda s, state, m, text: (tried.append(len(m.graph.nodes)), run(s, state, m, text))[1]
            )
            patch.setattr(search, "judge", lambda m, profile: (judged.append(len(m.graph.nodes)), judge(m, profile))[1])
            assert not legal(length)[0].stuck
        return len(tried), sum(tried), len(judged)

    assert work(7) == work(14)


def test_a_pipeline_that_is_too_little_for_all_layers_is_searched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legalization, "shortened", lambda whole: chain.build(100, parts=[chain.gelu]))
    done, made = legal()
    assert not done.stuck
    assert done.pipeline.startswith("fuse-gelu,fuse-layer-norm")
    assert not lacking("Erf", "Pow").check(made)


def test_a_pass_that_fails_with_all_layers_does_nothing_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FuseLayerNorm.run

    def fail(self: FuseLayerNorm, found: Model, context: Context) -> None:
        run(self, found, context)
        if len(found.graph.nodes) > 4 * PERIOD:
            raise RegraftError("too many")

    monkeypatch.setattr(FuseLayerNorm, "run", fail)
    done, made = legal()
    assert "fuse-layer-norm" not in done.pipeline
    monkeypatch.setattr(legalization, "shortened", lambda whole: None)
    expected, other = legal()
    assert done.pipeline == expected.pipeline
    assert [(n.op, n.name) for n in made.nodes()] == [(n.op, n.name) for n in other.nodes()]
