from __future__ import annotations

import itertools
import json
import re
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import regraft
from regraft.errors import ModelError
from regraft.files import convert
from regraft.inspection.html import layout
from regraft.inspection.html.layout import lay_out
from regraft.inspection.html.measured import read_measured
from regraft.inspection.html.page import page_of_diff, page_of_model
from regraft.inspection.html.scene import ADDED, CHANGED, REMOVED
from regraft.inspection.html.scopes import ScopeTree, common
from regraft.inspection.html.statistics import BINS, statistics
from regraft.inspection.scopes import scope_of
from regraft.inspection.sides import compared
from regraft.ir.graph import Constant, Node
from regraft.models import chain
from regraft.pipelines import manager
from tests.inspection.hostile import NAMES, hostile

FLOAT = onnx.TensorProto.FLOAT
PIPELINE = "fold-constants,fuse-layer-norm,fuse-gelu,eliminate-identity,eliminate-common-subexpressions"


def scenes(text: str) -> list[dict]:
    return [json.loads(found) for found in re.findall(r'class="scene"[^>]*>(.*?)</script>', text, re.S)]


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    path = regraft.save(chain.build(300), tmp_path_factory.mktemp("m") / "m.onnx")
    before, after = (regraft.load(path) for _ in range(2))
    manager.run(after, PIPELINE)
    return compared(before, after, ("a.onnx", "b.onnx"))


def test_the_page_has_what_the_diff_has(sides):
    (scene,) = scenes(page_of_diff(sides))
    found = sides.diff
    kinds = Counter(status for _, kind, status, *_ in scene["nodes"] if kind in (0, 3))
    new_functions = sum(len(f.nodes) for f in sides.models[1].functions)
    changed = [one for entry in found.passes for one in entry.changed]
    assert kinds[REMOVED] == sum(len(e.removed) for p in found.passes for e in p.edits) + len(found.removed)
    assert kinds[ADDED] == sum(len(e.added) for p in found.passes for e in p.edits) + len(found.added) + new_functions
    assert kinds[CHANGED] == len(changed) + len(found.changed)
    assert sum(kinds.values()) - kinds[ADDED] == len(list(sides.models[0].nodes()))
    assert [one["text"] for one in scene["passes"]] == [one.text for one in found.passes]
    placed = [number for _, _, places in scene["groups"] for place in places for number in place]
    assert len(placed) == len(set(placed)) == kinds[REMOVED] + kinds[ADDED] + kinds[CHANGED] - new_functions
    edits = sum(len(one.edits) for one in found.passes)
    assert sum(len(places) for of, title, places in scene["groups"] if of >= 0 and "→" in title) == edits


def test_an_edge_says_which_models_have_it(sides):
    (scene,) = scenes(page_of_diff(sides))
    status = [node[2] for node in scene["nodes"]]
    for start, end, mask, bends in scene["edges"]:
        assert mask in (1, 2, 3)
        assert len(bends) % 2 == 0
        if REMOVED in (status[start], status[end]):
            assert mask == 1
        if ADDED in (status[start], status[end]):
            assert mask == 2


def test_the_page_needs_nothing_else(sides):
    text = page_of_diff(sides)
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|import\s|fetch\(|XMLHttpRequest|https?://""", text)


def test_names_cannot_leave_their_place():
    text = page_of_model(hostile(), "</title><script>window.broken=1</script>")
    assert text.count("<script") == text.count("</script>") == 2
    (scene,) = scenes(text)
    names = {scene["texts"][folder] + rest for *_, ((folder, rest), *_), _ in scene["nodes"]}
    assert set(NAMES) <= names
    assert "\u2028" not in text
    assert "<title>&lt;/title&gt;" in text


def test_one_model_has_one_side(sides):
    (scene,) = scenes(page_of_model(sides.models[1], "b.onnx"))
    assert scene["sides"] == ["b.onnx"]
    assert {status for _, _, status, *_ in scene["nodes"]} == {0}
    assert scene["groups"] == scene["passes"] == scene["facts"] == []
    assert [text for text, _ in scene["record"]] == [one.text for one in sides.diff.passes]


@pytest.mark.parametrize("opset", [17])
def test_bodies_are_drawn_above_their_node(opset):
    info = helper.make_tensor_value_info
    branches = [
        helper.make_graph([helper.make_node(op, ["x"], [f"{op}_y"], op)], op, [], [info(f"{op}_y", FLOAT, None)])
        for op in ("Relu", "Neg")
    ]
    node = helper.make_node("If", ["flag"], ["y"], "if", then_branch=branches[0], else_branch=branches[1])
    ends = [info("flag", onnx.TensorProto.BOOL, []), info("x", FLOAT, [4])]
    graph = helper.make_graph([node], "g", ends, [info("y", FLOAT, [4])])
    model = convert.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))
    (scene,) = scenes(page_of_model(model, "m"))
    titles = [scene["texts"][node[0]] for node in scene["nodes"]]
    edges = {(titles[start], titles[end]) for start, end, *_ in scene["edges"]}
    assert {("Relu", "If"), ("Neg", "If"), ("input", "Relu"), ("If", "output")} <= edges


def test_steps_are_scenes_of_their_own(tmp_path):
    model = chain.build(100)
    manager.run(model, "fuse-layer-norm,fuse-gelu", dump_dir=tmp_path / "steps")
    paths = sorted((tmp_path / "steps" / "run-1").glob("*.onnx"))
    first, last = regraft.load(paths[0]), regraft.load(paths[-1])
    every = scenes(page_of_diff(compared(first, last, ("a", "b")), steps=tmp_path / "steps"))
    assert [scene["sides"] for scene in every[1:]] == [[a.stem, b.stem] for a, b in itertools.pairwise(paths)]
    with pytest.raises(ModelError, match="no dumps"):
        page_of_diff(compared(first, last, ("a", "b")), steps=tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "bool", "bfloat16"])
@pytest.mark.parametrize("stored", [False, True])
def test_statistics_are_those_of_numpy(dtype, stored, tmp_path):
    values = np.random.default_rng(0).standard_normal((70, 50)) * 10
    array = values.astype(np.float32).astype(np.dtype(dtype) if dtype != "bfloat16" else _bfloat16())
    array[0, :7] = 0
    constant = Constant("w", array)
    if stored:
        node = helper.make_node("Identity", ["w"], ["y"])
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = helper.make_tensor("w", kind, array.shape, array.tobytes(), raw=True)
        graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", kind, None)], [tensor])
        path = regraft.save(convert.from_proto(helper.make_model(graph)), tmp_path / "m.onnx", "external")
        constant = regraft.load(path).graph.nodes[0].inputs[0]
    found = statistics(constant)
    wide = array.astype(np.float64)
    assert found["zeros"] == (wide == 0).sum()
    expected = {"min": wide.min(), "max": wide.max(), "mean": wide.mean(), "std": wide.std()}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    counts, _ = np.histogram(wide, BINS)
    assert sum(found["histogram"]) == wide.size
    assert np.abs(counts - found["histogram"]).sum() <= 0.02 * wide.size  # at the edges of bins


def _bfloat16():
    return helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


def test_statistics_say_what_they_leave_out():
    array = np.array([np.nan, np.inf, -np.inf, *range(20)], np.float32)
    found = statistics(Constant("w", array))
    assert (found["not_finite"], found["max"], sum(found["histogram"])) == (3, 19.0, 20)
    assert statistics(Constant("w", np.full(20, np.nan))) == {"elements": 20, "zeros": 0, "not_finite": 20}
    assert "std" not in statistics(Constant("w", np.array([1e308, -1e308] * 9)))
    assert statistics(Constant("w", np.arange(3))) == {"values": "[0, 1, 2]"}
    assert "text" in statistics(Constant("w", np.array(["a"] * 20, object)))["left_out"]
    assert "larger than 100 bytes" in statistics(Constant("w", np.zeros(200)), limit=100)["left_out"]
    flat = statistics(Constant("w", np.full(20, 3.0)))
    assert (flat["min"], flat["std"], sum(flat["histogram"])) == (3.0, 0.0, 20)


def test_a_missing_file_of_weights_is_said(tmp_path):
    tensor = numpy_helper.from_array(np.ones(4096, np.float32), "w")
    node = helper.make_node("Identity", ["w"], ["y"])
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", FLOAT, [4096])], [tensor])
    path = regraft.save(convert.from_proto(helper.make_model(graph)), tmp_path / "m.onnx", "external")
    (tmp_path / "m.onnx.data").unlink()
    from regraft.files.loading import load

    (scene,) = scenes(page_of_model(load(path, weights=False), "m"))
    assert scene["weights"] == [{"left_out": "its file is missing"}]


DIAMOND = [(0, 1), (1, 2), (0, 3), (2, 3), (3, 4)]


@pytest.fixture(params=["library", "own"])
def placing(request, monkeypatch):
    if request.param == "own":
        monkeypatch.setattr(layout.importlib.util, "find_spec", lambda name: None)
    else:
        pytest.importorskip("fast_sugiyama")


@pytest.mark.usefixtures("placing")
class TestLayout:
    def test_each_node_stands_below_what_it_reads(self):
        places = lay_out(6, DIAMOND).places
        assert all(places[start][1] < places[end][1] for start, end in DIAMOND)
        assert len(set(places)) == 6

    def test_nodes_do_not_overlap(self, sides):
        (scene,) = scenes(page_of_diff(sides))
        places = sorted((y, x) for _, kind, *_, x, y, _, _ in scene["nodes"] if kind != 3)
        for (y, x), (next_y, next_x) in itertools.pairwise(places):
            assert next_y - y >= layout.ROW / 2 or next_x - x >= 132

    @pytest.mark.parametrize("edges", [[], [(0, 0)], [(0, 1), (1, 0)], [(0, 1), (1, 2), (2, 0), (2, 3)]])
    def test_circles_are_no_error(self, edges):
        assert len(set(lay_out(4, edges).places)) == 4

    def test_a_value_that_all_read_takes_no_time(self):
        count = 3000
        edges = [(i, i + 1) for i in range(1, count - 1)] + [(0, i) for i in range(1, count)]
        found = lay_out(count, edges)
        assert len(found.places) == count
        assert sum(map(len, found.bends.values())) < 100_000


def test_scopes_by_name_and_by_metadata():
    assert scope_of(Node("Add", "/encoder/layer.0/Add")) == ("encoder", "layer.0")
    assert scope_of(Node("Add", "Add_1")) == ()
    node = Node("Add", "node_add_1")
    node.metadata["pkg.torch.onnx.name_scopes"] = "['', 'bert', 'bert.encoder.layer.0', 'add_1']"
    assert scope_of(node) == ("bert", "encoder.layer.0")
    node.metadata["pkg.torch.onnx.name_scopes"] = "not a list ("
    assert scope_of(node) == ()


def test_a_scope_of_one_node_is_left_out():
    tree = ScopeTree([("a", "b"), ("a", "c"), ("d",)])
    assert tree.rows == [("", -1), ("a", 0)]
    assert tree.of == [1, 1, 0]
    assert common([("a", "b", "c"), ("a", "b"), ("a", "b", "d")]) == ("a", "b")


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        '{"passes": [{"text": 1}]}',
        '{"passes": [{"text": "a", "seconds": 1, "drift": {"outputs": [{"name": "y", "max_abs": "much"}]}}]}',
    ],
)
def test_another_file_is_no_report(content, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ModelError, match="is no report of a rewrite"):
        read_measured(path)


def test_the_worst_output_comes_first(tmp_path):
    path = tmp_path / "report.json"
    outputs = [{"name": name, "max_abs": most} for name, most in (("a", 1e-6), ("b", "inf"), ("c", "nan"), ("d", 0.5))]
    path.write_text(json.dumps({"passes": [{"text": "p", "seconds": 0.5, "drift": {"outputs": outputs}}]}))
    (found,) = read_measured(path)
    assert found.drift == [("c", "nan"), ("b", "inf"), ("d", "0.5"), ("a", "1e-06")]


def test_a_thousand_nodes_are_small():
    assert len(page_of_model(chain.build(1000), "chain")) < 400_000
