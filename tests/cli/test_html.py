from __future__ import annotations

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
