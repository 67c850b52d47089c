from __future__ import annotations

import json

import pytest

from regraft.pipelines import history


def test_diff_writes_a_page(run, model, rewritten, tmp_path):
    page = tmp_path / "diff.html"
    plain = run("diff", model, rewritten)
    result = run("diff", model, rewritten, "--html", page)
    assert (result.exit_code, result.stdout) == (1, plain.stdout)
    text = page.read_text()
    assert "<title>model.onnx → rewritten.onnx</title>" in text
    assert '"text":"fuse-gelu"' in text
    assert history.RECORD not in text


def test_the_report_and_the_steps_of_a_rewrite_come_into_the_page(run, model, tmp_path):
    report, steps, page = (tmp_path / name for name in ("report.json", "steps", "diff.html"))
    out = tmp_path / "out.onnx"
    rewrite = ("rewrite", model, "-o", out, "--pipeline", "fuse-gelu", "--verify", "each")
    assert run(*rewrite, "--report", report, "--dump-dir", steps).exit_code == 0
    assert run("diff", model, out, "--html", page, "--report", report, "--steps", steps).exit_code == 1
    text = page.read_text()
    assert text.count('class="scene"') == 2
    assert '"seconds":' in text
    assert '"drift":[[' in text


def test_model_explorer_gets_a_mapping_and_marks(run, model, rewritten, tmp_path):
    assert run("diff", model, rewritten, "--model-explorer", tmp_path / "explorer").exit_code == 1
    read = {
        name: json.loads((tmp_path / "explorer" / f"{name}.json").read_text())
        for name in ("mapping", "before", "after")
    }
    entries = read["mapping"]["mappingEntries"]
    for side in ("leftNodeIds", "rightNodeIds"):
        names = [name for entry in entries for name in entry[side]]
        assert len(names) == len(set(names)) > 100
    fused = [entry for entry in entries if len(entry["leftNodeIds"]) > 1]
    assert len(fused) == 2
    added = {name for entry in fused for name in entry["rightNodeIds"]}
    assert {read["after"]["results"][name]["value"] for name in added} == {"added"}
    removed = {name for entry in fused for name in entry["leftNodeIds"]}
    assert {read["before"]["results"][name]["value"] for name in removed} == {"removed"}


def test_show_writes_a_page(run, model, tmp_path):
    page = tmp_path / "model.html"
    result = run("show", model, "--html", page, "--statistics", "1KB")
    assert result.exit_code == 0
    assert "larger than 1,000 bytes" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "steps"], "are for the page of --html"),
        (["--html", "no/such/folder/x.html"], "cannot write"),
        (["--html", "x.html", "--statistics", "many"], "--statistics"),
        (["--html", "x.html", "--report", "none.json"], "none.json"),
        (["--html", "x.html", "--steps", "none"], "no dumps"),
    ],
)
def test_bad_options_are_one_line(run, model, rewritten, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("diff", model, rewritten, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
