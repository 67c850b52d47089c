"""The page in a real browser: opened from disk, clicked, typed."""

from __future__ import annotations

import json

import pytest

import regraft
from regraft.inspection.html.measured import read_measured
from regraft.inspection.html.page import page_of_diff, page_of_model, write_page
from regraft.inspection.sides import compared
from regraft.models import bert, chain
from regraft.pipelines import manager
from tests.inspection import browser
from tests.inspection.hostile import NAMES, hostile

pytestmark = pytest.mark.skipif(browser.installed() is None, reason="no Chromium on the PATH")

FUSE = "fuse-layer-norm,fuse-gelu"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.browser(tmp_path_factory.mktemp("profile")) as found:
        yield found
        assert found.errors == []


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    """The page of a BERT before and after its layer norms are fused."""
    path = tmp_path_factory.mktemp("pages") / "fused.html"
    regraft.save(bert.build(bert.Size(2)), path.with_suffix(".onnx"))
    before, after = (regraft.load(path.with_suffix(".onnx")) for _ in range(2))
    manager.run(after, FUSE, verify="each").write(path.with_suffix(".json"))
    measured = read_measured(path.with_suffix(".json"))
    write_page(path, page_of_diff(compared(before, after, ("a.onnx", "b.onnx")), measured))
    return path


@pytest.fixture
def opened(page, fused):
    page.open(fused)
    return page


def centre(page, title):
    """Where the middle of the first node of an operator is on the screen, once it is in view."""
    return page.evaluate(
        f"""(() => {{
          const node = state.graph.nodes.find((one) => one.title === {json.dumps(title)});
          jumpTo([node.id]);
          const box = painter.arrangement.box[node.id];
          const panel = painter.panels()[0];
          const frame = painter.canvas.getBoundingClientRect();
          const {{ x, y, zoom }} = painter.camera;
          return [frame.x + panel.width / 2 + (box.x - x) * zoom, frame.y + panel.height / 2 + (box.y - y) * zoom];
        }})()"""
    )


def test_a_click_on_a_node_shows_all_about_it(opened):
    opened.click_at(*centre(opened, "LayerNormalization"))
    shown = opened.text("#details")
    assert "added by fuse-layer-norm" in shown
    assert "epsilon" in shown
    assert "Takes the place of" in shown
    assert "ReduceMean" in opened.text("#details .counterpart")
    assert "32 elements, 0 zeros" in shown
    assert opened.evaluate("document.querySelectorAll('#details .histogram i').length") == 2 * 24
    assert "made from" in shown
    opened.press("Escape")
    assert opened.evaluate("document.getElementById('details').hidden")


def test_the_search_finds_by_typing_and_enter_jumps(opened):
    opened.press("/")
    opened.type("softmax")
    assert opened.text("#found") == "2 found"
    opened.press("Enter")
    assert opened.text("#found") == "1 of 2"
    assert opened.text("#details h3") == "Softmax"
    opened.press("Escape")
    assert opened.evaluate("document.activeElement.id") == "graph"
    assert opened.text("#found") == ""


def test_like_changes_are_a_group_that_jumps(opened):
    assert "LayerNormalization" in opened.text("[data-group='0']")
    places = opened.evaluate("state.graph.groups[0][2].length")
    assert places == 5
    opened.click("[data-group='0']")
    assert opened.text("#found") == "1 of 5"
    opened.press("n")
    assert opened.text("#found") == "2 of 5"
    opened.press("p")
    opened.press("p")
    assert opened.text("#found") == "5 of 5"


def test_the_passes_are_steps_with_what_the_report_measured(opened):
    assert "outputs moved by at most" in opened.text("#passes")
    opened.press("]")
    looks = "[painter.arrangement.looks.filter((look) => look === ADDED).length, state.step]"
    assert opened.evaluate(looks) == [5, 0]
    opened.press("]")
    added, step = opened.evaluate(looks)
    assert (added, step) == (2, 1)
    opened.press("]")
    assert opened.evaluate("state.step") is None


def test_keys_zoom_move_and_show_all(opened):
    opened.press("0")
    zoom = opened.evaluate("painter.camera.zoom")
    for key in ("+", "+", "+"):
        opened.press(key)
    assert opened.evaluate("painter.camera.zoom") > 2 * zoom
    y = opened.evaluate("painter.camera.y")
    opened.press("ArrowDown")
    assert opened.evaluate("painter.camera.y") > y
    opened.press("0")
    assert opened.evaluate("painter.camera.zoom") == zoom
    opened.press("?")
    assert opened.evaluate("document.getElementById('help').open")


def test_only_changes_leaves_their_neighbourhood(opened):
    opened.press("e")
    count = "painter.arrangement.boxes.length"
    every = opened.evaluate(count)
    opened.press("h")
    assert 0 < opened.evaluate(count) < every
    opened.press("h")
    assert opened.evaluate(count) == every


def test_scopes_collapse_and_a_jump_opens_them(opened):
    opened.press("e")
    every = opened.evaluate("painter.arrangement.boxes.length")
    opened.press("c")
    assert opened.evaluate("painter.arrangement.boxes.length") < every / 2
    assert "layer.0" in opened.evaluate("painter.arrangement.boxes.map((b) => state.graph.scopes[b.scope]?.[0]).join()")
    opened.press("/")
    opened.type("softmax")
    opened.press("Enter")
    assert opened.text("#details h3") == "Softmax"
    assert opened.evaluate("painter.arrangement.box[state.chosen.id].node.title") == "Softmax"


def test_side_by_side_shows_each_model_its_own(opened):
    opened.press("s")
    sides = opened.evaluate(
        "[1, 2].map((side) => painter.arrangement.boxes.filter((box) => box.node && seen(box, side))"
        ".some((box) => box.node.status === (side === 1 ? ADDED : REMOVED)))"
    )
    assert sides == [False, False]
    assert opened.evaluate("painter.panels().length") == 2


def test_hostile_names_are_text(page, tmp_path):
    path = tmp_path / "hostile.html"
    write_page(path, page_of_model(hostile(), "<img src=x onerror=window.broken=1>"))
    page.open(path)
    names = page.evaluate("state.graph.nodes.map((node) => state.graph.name(node))")
    assert set(NAMES) <= set(names)
    for index in range(len(names)):
        page.evaluate(f"showDetails(state.graph.nodes[{index}])")
        assert page.evaluate("document.querySelector('#details .name').textContent") == names[index]
    assert page.evaluate("document.querySelectorAll('img, #details script').length") == 0
    assert page.evaluate("window.broken === undefined")


@pytest.mark.slow
def test_twenty_thousand_nodes_open_in_seconds(page, tmp_path):
    model = chain.build(20_000)
    after = regraft.load(regraft.save(model, tmp_path / "m.onnx"))
    manager.run(after, FUSE)
    path = tmp_path / "large.html"
    text = page_of_diff(compared(regraft.load(tmp_path / "m.onnx"), after, ("a", "b")))
    write_page(path, text)
    took = page.open(path)
    search = page.evaluate(
        "(() => { const from = performance.now(); search('gelu'); return performance.now() - from; })()"
    )
    print(f"20,000 nodes: {len(text) / 1e6:.1f} MB, drawn after {took:.0f} ms, searched in {search:.0f} ms")
    assert len(text) <= 5_000_000
    assert took < 15_000  # 3 s on a machine that does nothing else
