"""`regraft new-pass` writes a pass and a test that work as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regraft.pipelines.registry import passes as registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.chdir(tmp_path)


def test_what_it_writes_is_green_at_once(run, tmp_path):
    result = run("new-pass", "fuse-my-swish")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fuse_my_swish.py", "test_fuse_my_swish.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    tested = run("test", "fuse_my_swish.py")
    assert tested.exit_code == 0, tested.output
    assert tested.stdout.splitlines()[1].split()[:3] == ["fuse-my-swish", "clip", "right"]


def test_what_it_writes_is_clean(run, tmp_path):
    pytest.importorskip("ruff", reason="ruff, of the extra lint, is not installed")
    run("new-pass", "fuse-my-swish", "-o", "mine")
    files = sorted(map(str, (tmp_path / "mine").glob("*.py")))
    assert len(files) == 2
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--line-length", "120", *files]
        done = subprocess.run(command, cwd=tmp_path / "mine", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "test_mine.py").write_text("mine")
    result = run("new-pass", "mine")
    assert result.exit_code == 2
    assert "test_mine.py is there already" in result.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_json_says_which_files(run):
    found = json.loads(run("new-pass", "mine", "-o", "a/b", "--json").stdout)
    assert found == {"pass": "a/b/mine.py", "test": "a/b/test_mine.py"}
    assert all(Path(path).is_file() for path in found.values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Fuse", "is no name of a pass"),
        ("a_b", "is no name of a pass"),
        ("../x", "is no name of a pass"),
        ("fuse-gelu", "there is a pass 'fuse-gelu' already"),
        ("class", "a word of Python's"),
        ("json", "a word of Python's"),
    ],
)
def test_a_name_that_cannot_be(run, tmp_path, name, said):
    result = run("new-pass", name)
    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []
