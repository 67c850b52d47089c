"""The acceptance matrix holds: cells that run here are as the page says, and its parts can fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from regraft.errors import TargetError
from regraft.pipelines.registry import load_file, targets
from regraft.targeting.compiler import Compiler
from tests.acceptance import page
from tests.acceptance.cells import COMPILERS, Bench, Result, plain
from tests.acceptance.contestants import CONTESTANTS, RAW, REGRAFT, Contestant, Refused
from tests.acceptance.gaps import GAPS, gap
from tests.acceptance.models import SUBJECTS, Subject, make
from tests.acceptance.page import Cell
from tests.acceptance.record import Record
from tests.acceptance.store import Store, fingerprint

ROOT = Path(__file__).parents[2]
PAGE = page.read((ROOT / "docs/acceptance.md").read_text(encoding="utf-8"))
CHEAP = "pytorch/gpt2-sdpa-ts.onnx"
"""An artifact with open shapes, sdpa's guard and a causal mask: most compilers refuse it, or go wrong."""
MOODY = ROOT / "tests/targeting/fake/moody.py"


def bench(name: str, folder: Path, **options) -> Bench:
    """The compiler `name`; skips where it is not installed."""
    try:
        return Bench(targets.load(name)(**options), folder)
    except TargetError as error:
        pytest.skip(str(error))


def verdict(bench: Bench, subject: Subject, files: Path, record: Record, config, tell) -> Result:
    """On a cell: that of the record, where nothing changed since; else the compiler's."""
    source, (inputs, expected) = subject.file(files), subject.reference(files)
    cell = f"{bench.compiler.name} {subject.name}"
    try:
        asked = bench.fingerprint(REGRAFT, source, inputs, subject.dynamic)
    except Refused as refused:
        return Result(refusal=str(refused))
    if not config.getoption("--compile") and not config.getoption("--record") and (known := record.get(cell, asked)):
        tell("recorded", cell)
        return known
    found = bench.cell(REGRAFT, source, inputs, expected, subject.dynamic)
    if config.getoption("--record"):
        record.put(cell, asked, bench.version, found)
    return found


@pytest.fixture(scope="module")
def moody() -> type[Compiler]:
    return load_file(MOODY)[0] if "moody" not in targets.names() else targets.load("moody")


def reference(path: Path):
    with np.load(path.with_suffix(".npz")) as values:
        sides = [{n[len(p) :]: values[n] for n in values if n.startswith(p)} for p in ("in_", "out_")]
    return sides


# --------------------------------------------------------------------------------------- what compilers say


@pytest.mark.parametrize("name", COMPILERS)
def test_what_regraft_rewrites_is_compiled_and_right(name, artifacts, tmp_path):
    source = artifacts / CHEAP
    result = bench(name, tmp_path).cell(REGRAFT, source, *reference(source), dynamic=True)
    assert result.right, result.refusal or result.wrong
    assert result.pipeline


@pytest.fixture(scope="module")
def benches(tmp_path_factory) -> Callable[[str], Bench]:
    """The compilers by name; each is asked for its version once."""
    return cache(lambda name: bench(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module")
def record(pytestconfig) -> Record:
    if pytestconfig.getoption("--record") and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("--record: one process writes the file; run without -n")
    return Record()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_every_cell_is_as_the_page_says(name, subject, files, benches, record, pytestconfig, record_property):
    make(files, [subject])
    found = verdict(benches(name), subject, files, record, pytestconfig, record_property)
    assert page.mark(found)[0][0] == PAGE[name, subject.name, "regraft"], found.refusal or found.wrong
    assert found.right or gap(name, subject), found.refusal or found.wrong


def test_the_page_is_whole_and_has_no_red_cell_without_a_reason():
    expected = {(c, s.name, t.name) for c in COMPILERS for s in SUBJECTS for t in CONTESTANTS}
    assert PAGE.keys() >= expected
    assert {PAGE[c, s.name, one] for c in COMPILERS for s in SUBJECTS for one in ("raw", "regraft")} <= set("✓✗–")
    red = [(c, s) for c in COMPILERS for s in SUBJECTS if PAGE[c, s.name, "regraft"] != "✓"]
    assert [(c, s.name) for c, s in red if not gap(c, s)] == []
    assert [(c, s.name) for c, s in red if PAGE[c, s.name, "raw"] == "✓"] == []


def test_gaps_are_red_cells_of_the_page():
    for one in GAPS:
        assert any(
            gap(one.compiler, s) == one.reason and PAGE[one.compiler, s.name, "regraft"] != "✓" for s in SUBJECTS
        )


def test_the_matrix_has_thirty_files():
    assert len({subject.name for subject in SUBJECTS}) == 30


# ------------------------------------------------------------------------------------- the matrix can fail


@pytest.mark.parametrize(
    ("mood", "refusal", "wrong"),
    [
        ("right", "", ""),
        ("spoils", "", ""),
        ("refuses", "Op not support:{'IsNaN'} at node 7", ""),
        ("crashes", "crashed (SIGSEGV) when it was to compile", ""),
        ("wrong", "", "values differ too much"),
        ("forgets", "", "gives no output 'logits'"),
    ],
)
def test_what_befalls_a_compiler_stands_in_its_cell(mood, refusal, wrong, moody, artifacts, tmp_path):
    source = artifacts / CHEAP
    result = Bench(moody(mood=mood), tmp_path).cell(REGRAFT, source, *reference(source), dynamic=True)
    assert (result.refusal, bool(result.wrong)) == (refusal, bool(wrong))
    assert wrong in result.wrong
    assert result.right == (not refusal and not wrong)


def test_a_result_is_kept_until_something_changes(moody, artifacts, tmp_path, monkeypatch):
    source = artifacts / CHEAP
    inputs, expected = reference(source)
    Bench(moody(), tmp_path).cell(RAW, source, inputs, expected, dynamic=True)
    runs = []
    monkeypatch.setattr(Bench, "_run", lambda self, *rest: runs.append(rest) or Result())
    Bench(moody(), tmp_path).cell(RAW, source, inputs, expected, dynamic=True)
    assert not runs
    Bench(moody(mood="wrong"), tmp_path).cell(RAW, source, inputs, expected, dynamic=True)
    monkeypatch.setenv("MOODY_VERSION", "2.6")
    Bench(moody(), tmp_path).cell(RAW, source, inputs, expected, dynamic=True)
    assert len(runs) == 2
    assert Bench(moody(), tmp_path, kept=True).cell(RAW, source, inputs, expected, dynamic=True) == Result()
    assert Bench(moody(), tmp_path, kept=True).cell(REGRAFT, source, inputs, expected, dynamic=True) is None


MUST = {"--compile": (True, False), "--record": (True, True), "": (False, False)}


@pytest.mark.parametrize("given", MUST)
def test_a_recorded_cell_is_compiled_where_that_is_asked_for(given, moody, artifacts, tmp_path):
    """The record says of a cell what no compiler would, so that it shows who was asked."""
    compiled, recorded = MUST[given]
    subject, files = Subject("gpt2", "ts", "dynamic"), tmp_path / "files"
    files.mkdir()
    for suffix in (".onnx", ".npz"):
        shutil.copy((artifacts / CHEAP).with_suffix(suffix), subject.file(files).with_suffix(suffix))
    record, made, told = Record(tmp_path / "record.jsonl"), Bench(moody(), tmp_path), []
    asked = made.fingerprint(REGRAFT, subject.file(files), subject.reference(files)[0], subject.dynamic)
    record.put("moody gpt2-ts-dynamic", asked, "1.0", Result(wrong="as recorded"))
    config = SimpleNamespace(getoption=lambda name: name == given)
    found = verdict(made, subject, files, record, config, lambda *properties: told.append(properties))
    assert (found.wrong == "") == compiled
    assert told == ([] if compiled else [("recorded", "moody gpt2-ts-dynamic")])
    known = Record(tmp_path / "record.jsonl").get("moody gpt2-ts-dynamic", asked)
    assert known is not None
    assert (known.wrong == "") == recorded


def test_a_cell_is_compiled_again_when_its_verdict_may_be_another(moody, artifacts, tmp_path, monkeypatch):
    source = artifacts / CHEAP
    inputs, _ = reference(source)
    other = tmp_path / "other.onnx"
    proto = onnx.load(source)
    proto.producer_name = "somebody else"
    onnx.save(proto, other)
    prints = [Bench(moody(), tmp_path).fingerprint(REGRAFT, source, inputs, True) for _ in range(2)]
    prints.append(Bench(moody(), tmp_path).fingerprint(REGRAFT, other, inputs, True))
    fed = inputs | {"input_ids": inputs["input_ids"] + 1}
    prints.append(Bench(moody(), tmp_path).fingerprint(REGRAFT, source, fed, True))
    prints.append(Bench(moody(mood="wrong"), tmp_path).fingerprint(REGRAFT, source, inputs, True))
    monkeypatch.setenv("MOODY_VERSION", "2.6")
    prints.append(Bench(moody(), tmp_path).fingerprint(REGRAFT, source, inputs, True))
    assert prints[0] == prints[1]
    assert len(set(prints)) == len(prints) - 1


def test_a_record_has_the_latest_verdict_of_a_cell(tmp_path):
    record = Record(tmp_path / "record.jsonl")
    assert record.get("tvm vit", "a") is None
    record.put("tvm vit", "a", "1.0", Result(refusal="no: “such” op"))
    record.put("mnn vit", "a", "1.0", Result())
    record.put("tvm vit", "b", "1.0", Result(error=1e-7))
    again = Record(tmp_path / "record.jsonl")
    assert again.get("tvm vit", "a") is None
    assert again.get("tvm vit", "b") == Result(error=1e-7)
    assert again.get("mnn vit", "a") == Result()
    assert again.get("iree vit", "a") is None
    assert len((tmp_path / "record.jsonl").read_text().splitlines()) == 2


def test_latency_is_a_ratio_of_pairs(moody, artifacts, tmp_path):
    source = artifacts / CHEAP
    found = Bench(moody(), tmp_path).ratios(source, reference(source)[0], dynamic=True, loads=2, pairs=3, runs=2)
    assert len(found) == 6
    assert all(ratio > 0 for ratio in found)


def test_a_tool_that_is_absent_or_fails_is_a_refusal(moody, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    absent = Contestant("absent", "no-such-package", print)
    with pytest.raises(Refused, match="no-such-package is not installed"):
        absent.prepare(tmp_path / "broken.onnx", {}, moody(), tmp_path)
    with pytest.raises(Refused, match="regraft: "):
        REGRAFT.prepare(tmp_path / "broken.onnx", {}, moody(), tmp_path)
    tool = next(one for one in CONTESTANTS if one.name == "ONNX Runtime")
    for _ in range(2):
        with pytest.raises(Refused, match=r"ONNX Runtime: .*broken"):
            tool.prepare(tmp_path / "broken.onnx", {}, moody(), tmp_path)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("mnn refuses the model: no IsNaN (log: /tmp/a/compile.log)", "no IsNaN"),
        ("mnn crashed (SIGSEGV) when it was to run it (log: /tmp/x)", "crashed (SIGSEGV) when it was to run it"),
        ("mnn refuses the model: in /usr/lib/python/x.py: no", "in x.py: no"),
        ("mnn refuses the model: see https://example.org/ops/custom", "see https://example.org/ops/custom"),
    ],
)
def test_messages_name_no_folder_of_this_machine(message, said):
    assert plain(message, "mnn") == said


# ------------------------------------------------------------------------------------- the page, the store


def model(path: Path, value: float, note: str = "") -> Path:
    tensor = helper.make_tensor("c", TensorProto.FLOAT, [1], [value])
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "c"], ["y"])], "g", ports[:1], ports[1:], [tensor])
    proto = helper.make_model(graph)
    helper.set_model_props(proto, {"record": note})
    onnx.save(proto, path)
    return path


def test_a_digest_knows_the_weights_and_not_the_record(tmp_path):
    first = fingerprint(model(tmp_path / "a.onnx", 1.0, "at noon"), "1.0")
    assert first == fingerprint(model(tmp_path / "b.onnx", 1.0, "at night"), "1.0")
    assert first != fingerprint(model(tmp_path / "c.onnx", 2.0, "at noon"), "1.0")
    assert first != fingerprint(tmp_path / "a.onnx", "1.1")


def test_a_store_is_read_again(tmp_path):
    store = Store(tmp_path / "new/results.jsonl")
    assert store.get("a") is None
    store.put("a", asdict(Result(refusal="no: “such” op", metrics={"ops": 3})))
    store.put("a", asdict(Result(error=1.0)), "cell")
    store.put("b", asdict(Result(error=2.0)), "cell")
    again = Store(store.path)
    assert Result(**again.get("a")) == Result(error=1.0)
    assert Result(**again.latest("cell")) == Result(error=2.0)
    again.put("b", asdict(Result(error=2.0)), "cell")
    assert len(store.path.read_text().splitlines()) == 3


def results(**marks: Result) -> dict[Cell, Result]:
    first, second = SUBJECTS[0], SUBJECTS[1]
    rows = {name.replace("_", " "): result for name, result in marks.items()}
    return {Cell("tvm", s, name): result for s in (first, second) for name, result in rows.items()}


def test_the_page_reads_as_it_was_written():
    written = page.write(
        results(raw=Result(refusal="no IsNaN"), onnxsim=Result(wrong="y", error=0.4), regraft=Result(error=4e-7)),
        {("tvm", SUBJECTS[0]): [1.0, 1.1, 1.2]},
        {"tvm": "0.27", "onnxsim": "0.8"},
    )
    read = page.read(written)
    signs = {heading: read["tvm", SUBJECTS[1].name, heading] for heading in ("raw", "onnxsim", "onnxslim", "regraft")}
    assert signs == {"raw": "–", "onnxsim": "✗", "onnxslim": "-", "regraft": "✓"}
    assert "| tvm 0.27 | 0/2 | 0/2, 2 wrong | - | - | 2/2 |" in written
    assert "1. no IsNaN" in written
    assert "## Red after regraft\n\nNone." in written
    assert "1.10 (1.00 to 1.20)" in written


def test_the_page_says_what_falls_short():
    written = page.write(results(raw=Result(), regraft=Result(wrong="logits: off", error=0.1)), {}, {})
    assert f"- tvm, {SUBJECTS[0].name}, green raw: logits: off" in written
    assert "## Latency" not in written


def test_slower_than_the_bar_is_bold():
    assert page.ratio([0.9] * 5) == "**0.90** (0.90 to 0.90)"
    assert page.ratio([0.98] * 5) == "0.98 (0.98 to 0.98)"
    assert page.ratio([]) is None


def test_placement_is_shown_raw_and_rewritten():
    raw = Result(metrics={"placed": {"NPU": 52, "CPU": 8}, "cycles": 53143})
    ours = Result(metrics={"placed": {"NPU": 40, "CPU": 1}, "cycles": 48987, "leftovers": ["Gather"]})
    found = {Cell("rknn", Subject("vit", "ts", "static"), name): r for name, r in (("raw", raw), ("regraft", ours))}
    assert "| vit-ts-static | 52 | 8 | 53,143 | 40 | 1 | 48,987 | Gather |" in page.write(found, {}, {})
