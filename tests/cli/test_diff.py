"""`regraft diff`: its forms, and what docs/diff.md shows: other optimizers' models, and git."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import regraft
from regraft.models import bert
from regraft.pipelines import manager

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "diff.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
EXAMPLES = re.split(
    r"(?=^(?:ONNX Runtime|onnxslim|onnxsim) \d)", SECTIONS["What optimizers did to a BERT"], flags=re.M
)[1:]
GIT = re.findall(r"```(\w+)\n(.*?)```", SECTIONS["In git"], re.S)


@pytest.mark.parametrize("form", ["text", "json", "html", "markdown"])
def test_forms(run, model, rewritten, form):
    result = run("diff", model, rewritten, "--format", form)
    assert result.exit_code == 1, result.stderr
    begins = {
        "text": "fuse-gelu\n  2 × ",
        "json": "{",
        "html": "<!DOCTYPE html>",
        "markdown": "### fuse-gelu\n\n- `2 × ",
    }
    assert result.stdout.startswith(begins[form])
    same = run("diff", model, model, "--format", form)
    assert same.exit_code == 0
    if form == "json":
        assert json.loads(same.stdout)["same"]
    elif form != "html":
        assert same.stdout.startswith("the same: ")


def test_json_and_html_are_formats_of_their_own(run, model, rewritten, tmp_path):
    assert run("diff", model, rewritten, "--json").stdout == run("diff", model, rewritten, "--format", "json").stdout
    page = tmp_path / "diff.html"
    assert run("diff", model, rewritten, "--html", page).exit_code == 1
    assert page.read_text() + "\n" == run("diff", model, rewritten, "--format", "html").stdout


def test_stat_counts(run, model, rewritten):
    result = run("diff", model, rewritten, "--stat")
    assert result.exit_code == 1
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines())
    found = regraft.diff(model, rewritten)
    removed = sum(len(edit.removed) for edit in found.passes[0].edits)
    assert rows["fuse-gelu"] == f"{removed} removed, 2 added"
    assert rows["unchanged"] == f"{found.unchanged} nodes"
    assert rows["functions"] == "1 added"
    assert run("diff", model, model, "--stat").stdout.startswith("unchanged  ")


def test_all_has_every_name(run, model, rewritten):
    forgetful = regraft.load(rewritten)
    forgetful.metadata.clear()
    for node in forgetful.nodes():
        node.metadata = {}
    regraft.save(forgetful, rewritten)
    gelus = [f"  + regraft.{node.op}  {node.name}" for node in forgetful.nodes() if node.op.startswith("Gelu")]
    assert len(gelus) == 2
    few, every = (run("diff", model, rewritten, *more).stdout.splitlines() for more in ([], ["--all"]))
    assert set(gelus) <= set(every)
    assert not set(gelus) & set(few)
    assert any(re.match(r"  2 × .* -> regraft.Gelu", line) for line in few)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stat", "--json"], "--stat prints text"),
        (["--format", "yaml"], "yaml"),
        (["--steps", "steps"], "--format html"),
    ],
)
def test_bad_options_are_one_line(run, model, rewritten, options, said):
    result = run("diff", model, rewritten, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_is_a_model_of_nothing(run, model):
    nodes = len(list(regraft.load(model).nodes()))
    came, gone = run("diff", os.devnull, model, "--stat"), run("diff", model, os.devnull, "--stat")
    assert (came.exit_code, gone.exit_code) == (1, 1)
    assert re.search(rf"^nodes +{nodes} added$", came.stdout, re.M)
    assert re.search(rf"^nodes +{nodes} removed$", gone.stdout, re.M)
    assert run("diff", os.devnull, os.devnull).exit_code == 0


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with `model.onnx` of the page, and a `regraft` that runs these sources."""
    monkeypatch.chdir(tmp_path)
    regraft.save(bert.build(bert.Size(layers=12)), tmp_path / "model.onnx")
    commands = tmp_path / "bin"
    commands.mkdir()
    start = shlex.join([sys.executable, "-c", "from regraft_command import main; main()"])
    (commands / "regraft").write_text(f'#!/bin/sh\nexec {start} "$@"\n')
    (commands / "regraft").chmod(0o755)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split()[0])
def test_the_page_shows_what_other_optimizers_did(folder, run, example):
    package, version = re.match(r"([\w ]+?) (\d[\d.]*\d)", example).groups()
    package = package.replace("ONNX Runtime", "onnxruntime")
    pytest.importorskip(package)
    if importlib.metadata.version(package) != version:
        pytest.skip(f"the page shows {package} {version}, which is not the one that is installed")
    blocks = re.findall(r"```(\w+)\n(.*?)```", example, re.S)
    printed = []
    for kind, text in blocks:
        if kind == "python":
            exec(text, {})
        for line in text.splitlines() if kind == "sh" else ():
            if line.startswith("regraft"):
                result = run(*shlex.split(line)[1:])
                assert result.exit_code == 1
                printed.append(result.stdout)
            else:
                subprocess.run(shlex.split(line), check=True, capture_output=True)
    assert printed == [text for kind, text in blocks if kind == "text"]


def test_git_shows_models(folder):
    """The lines of the page, in a repository."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("init", "-q")
    git("config", "user.email", "me@example.com")
    git("config", "user.name", "me")
    (attributes,) = (text for kind, text in GIT if kind == "gitattributes")
    (configure,) = (text for kind, text in GIT if kind == "sh")
    (folder / ".gitattributes").write_text(attributes)
    subprocess.run(["sh", "-e", "-c", configure], check=True)
    git("add", "model.onnx", ".gitattributes")
    git("commit", "-qm", "the model")
    assert git("diff") == ""
    changed = regraft.load(folder / "model.onnx")
    manager.run(changed, "fuse-gelu")
    regraft.save(changed, folder / "model.onnx")
    assert re.match(r"model\.onnx\nfuse-gelu\n  12 × 2 Mul, Add, Erf, Div -> regraft\.Gelu", git("diff"))
    git("commit", "-qam", "with Gelu")
    log = git("log", "-p", "-1")
    assert len(re.findall(r"^-.* = Erf\(", log, re.M)) == 12
    assert len(re.findall(r"^\+.* = regraft\.Gelu\(", log, re.M)) == 12
    git("rm", "-q", "model.onnx")
    gone = git("diff", "--cached")
    assert re.match(r"model\.onnx\nnodes\n", gone)
    assert gone.endswith("0 nodes unchanged\n")
