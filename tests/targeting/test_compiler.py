"""Compilers that are right, and those that are missing, old, wrong, crash, hang or eat: one line each."""

from __future__ import annotations

import json
import shutil
import sys
import time
import venv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.errors import ModelError, RegraftError, TargetError
from regraft.files.bundle import read_manifest
from regraft.targeting.compile import compile as build_bundle
from regraft.targeting.compiled import CompiledSession, open_bundle
from regraft.targeting.process import CompilerError, ResourceLimits, Worker
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session


@pytest.fixture
def source(artifacts) -> Path:
    return artifacts / "pytorch/bert-cls-explicit-dynamo.onnx"


@pytest.fixture
def bundle(tmp_path) -> Path:
    return tmp_path / "bundle"


def compile(source: Path, bundle: Path, text: str = "moody", **more):
    return build_bundle(regraft.load(source), read_target(text), bundle, **more)


@pytest.mark.parametrize("mood", ["right", "prints", "spoils"])
def test_what_is_compiled_runs_and_says_by_whom(source, bundle, mood):
    done = compile(source, bundle, f"moody{{mood={mood}}}")
    entry = done.manifest["compiled"]
    assert (entry["package"], entry["version"], entry["metrics"]["ops"]) == ("numpy", "2.5", 7)
    assert entry["drift"]["passed"]
    assert "compiling" in (bundle / entry["log"]).read_text()
    inputs = make_inputs(regraft.load(source), seed=3)
    with CompiledSession(bundle) as session:
        found, seconds = session.run(inputs), session.time(inputs, 3)
    assert len(seconds) == 3
    for name, value in Session(source).run(inputs).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    assert not list(bundle.parent.glob("*.log"))


def test_a_model_with_a_host_runs_on_both_sides(source, bundle):
    compile(source, bundle, pipeline="externalize-embeddings")
    inputs = make_inputs(regraft.load(source), seed=3)
    with CompiledSession(bundle) as session:
        found = session.run(inputs)
    for name, value in Session(source).run(inputs).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


FAILURES = {
    "refuses": "moody refuses the model: Op not support:{'IsNaN'} at node 7",
    "crashes": "moody crashed (SIGSEGV) when it was to compile",
    "quits": "moody refuses the model: SystemExit: 3",
    "hangs": "moody did not compile within 1.5 s and was stopped; --time-limit allows more",
    "eats": "moody took",
    "wrong": "moody compiles the model, but what it made computes something else: logits: ",
    "forgets": "moody compiles the model, but gives no output 'logits'",
}


@pytest.mark.parametrize(("mood", "line"), FAILURES.items())
def test_a_compiler_that_fails_is_one_line_and_its_log_stays(source, bundle, mood, line):
    limits = ResourceLimits(seconds=1.5 if mood == "hangs" else 60, memory=(1 << 29) if mood == "eats" else 1 << 34)
    started = time.monotonic()
    with pytest.raises(CompilerError) as caught:
        compile(source, bundle, f"moody{{mood={mood}}}", limits=limits)
    assert time.monotonic() - started < 30
    assert str(caught.value).startswith(line)
    assert not bundle.exists()
    log = bundle.with_name("bundle.log")
    assert "compiling" in log.read_text()
    if mood not in ("wrong", "forgets"):
        assert str(log) in str(caught.value)


def test_a_failure_leaves_the_bundle_that_was_there(source, bundle):
    compile(source, bundle)
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(CompilerError):
        compile(source, bundle, "moody{mood=crashes}")
    assert (bundle / "manifest.json").read_bytes() == before


def test_another_version_is_refused(source, bundle, monkeypatch):
    monkeypatch.setenv("MOODY_VERSION", "1.9")
    with pytest.raises(TargetError, match=r"numpy 1\.9 .* is not supported, but >=2,<3: pip install 'moody>=2'"):
        compile(source, bundle)


def test_a_bundle_of_another_version_is_not_run(source, bundle, monkeypatch):
    compile(source, bundle)
    monkeypatch.setenv("MOODY_VERSION", "2.6")
    with pytest.raises(TargetError, match=r"was compiled by numpy 2\.5, and 2\.6 is installed; compile it again"):
        CompiledSession(bundle)


def test_native_code_is_loaded_with_trust_only(source, bundle, monkeypatch):
    compile(source, bundle)
    inputs = make_inputs(regraft.load(source), seed=3)
    with open_bundle(bundle, trust=True) as session:
        assert isinstance(session, CompiledSession)
        trusted = session.run(inputs)
    monkeypatch.setattr(Worker, "__init__", lambda *_: pytest.fail("the compiler's runtime was started"))
    with open_bundle(bundle) as session:
        found = session.run(inputs)
    for name, value in trusted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    for words in (["run", bundle], ["report", bundle, "--runs", "1"], ["bench", bundle, bundle, "--runs", "1"]):
        said = CliRunner().invoke(cli, [str(word) for word in words])
        assert said.exit_code == 0, said.stderr
        assert "runs with --trust" in said.stderr or "in ONNX Runtime" in said.stdout


def forged(bundle: Path, change) -> None:
    """The bundle with its manifest changed, and the checksums right."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_native_code_lies_in_the_bundle_and_under_its_checksums(source, bundle, tmp_path):
    compile(source, bundle)
    code = read_manifest(bundle)["compiled"]["folder"]
    shutil.copytree(bundle / code, tmp_path / "elsewhere")
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "gone", ".", "a\0b", "x" * 5000):
        forged(bundle, lambda manifest, name=name: manifest["compiled"].update(folder=name))
        with pytest.raises(ModelError, match=r"lies outside the bundle|is missing|none of the files|is no path"):
            CompiledSession(bundle)
    forged(bundle, lambda manifest: manifest["compiled"].update(folder=code))
    (bundle / code / "extra.so").write_bytes(b"native")
    with pytest.raises(ModelError, match=r"extra\.so' is none of the files that were written"):
        CompiledSession(bundle)
    (bundle / code / "extra.so").unlink()
    (bundle / code / "link.so").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"link\.so' is none of the files that were written"):
        CompiledSession(bundle)


def test_a_bundle_that_is_not_compiled_is_not_run(source, bundle):
    regraft.write_bundle(regraft.load(source), bundle)
    with pytest.raises(TargetError, match="holds no compiled model; write one with 'regraft compile'"):
        CompiledSession(bundle)


def test_a_missing_compiler(source, bundle, monkeypatch):
    target = read_target("moody")
    monkeypatch.setattr(type(target), "package", "moody-compiler")
    with pytest.raises(TargetError, match=r"moody-compiler is not installed here, .*\.compilers/moody: pip install"):
        compile(source, bundle)
    assert not bundle.exists()


def test_environments_are_found_in_order(source, bundle, tmp_path, monkeypatch):
    target = read_target("moody")
    assert target.python() == Path(sys.executable)
    made = tmp_path / "compilers" / "moody" / "bin"
    made.mkdir(parents=True)
    (made / "python").symlink_to(sys.executable)
    monkeypatch.setenv("REGRAFT_COMPILERS", str(tmp_path / "compilers"))
    assert target.python() == made / "python"
    assert target.python(Path(sys.executable)) == Path(sys.executable)
    with pytest.raises(TargetError, match="there is no interpreter"):
        target.python(tmp_path / "nothing")


def test_an_environment_without_the_compiler_says_so(source, bundle, tmp_path):
    venv.create(tmp_path / "empty", with_pip=False)
    with pytest.raises(CompilerError, match=r"No module named 'numpy'.*; pip install 'moody>=2'") as caught:
        compile(source, bundle, environment=tmp_path / "empty")
    assert "\n" not in str(caught.value)


def test_a_target_with_a_wrong_option():
    with pytest.raises(RegraftError, match="moody: option mood: 'sad' is not one of right"):
        read_target("moody{mood=sad}")
    with pytest.raises(RegraftError, match="names 2 targets"):
        read_target("moody,moody")
    with pytest.raises(RegraftError, match="did you mean 'moody'"):
        read_target("mody")


def test_sizes_come_first(source, bundle):
    done = compile(source, bundle, "moody{batch=3,sequence=8}")
    assert done.report.passes[0].text == "set-shapes{batch=3,sequence=8}"
    assert read_manifest(bundle)["device"]["inputs"][0]["shape"] == [3, 8]
