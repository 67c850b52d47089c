from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from regraft.errors import PipelineError, RegraftError, UnknownNameError
from regraft.pipelines import registry
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.registry import Registry, load_file

MODULE = """
from regraft.pipelines.pass_base import Pass
class Third(Pass):
    name = "third"
class NoPass:
    name = "no-pass"
"""


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretend that entry points are installed; each is a (name, value)."""

    def install(*points):
        found = EntryPoints(EntryPoint(name, value, "regraft.passes") for name, value in points)
        monkeypatch.setattr(registry, "entry_points", lambda group: found.select(group=group))
        return Registry("pass", "passes", Pass)

    (tmp_path / "third_party.py").write_text(MODULE)
    (tmp_path / "broken_party.py").write_text("import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    yield install
    sys.modules.pop("third_party", None)


def test_listing_imports_nothing_and_loading_imports_one(installed):
    passes = installed(("third", "third_party:Third"), ("broken", "broken_party:Broken"))
    assert passes.names() == ["broken", "third"]
    assert "third_party" not in sys.modules
    assert passes.load("third").name == "third"
    assert "third_party" in sys.modules


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (("broken", "broken_party:Broken"), ["pass 'broken'", "broken_party:Broken", "a_module_that_is_not_there"]),
        (("no-pass", "third_party:NoPass"), ["pass 'no-pass'", "is no Pass"]),
        (("other", "third_party:Third"), ["pass 'other'", "of that name"]),
        (("gone", "third_party:Gone"), ["pass 'gone'", "Gone"]),
    ],
)
def test_a_bad_entry_point_is_named(installed, point, words):
    with pytest.raises(RegraftError) as raised:
        installed(point).load(point[0])
    assert all(word in str(raised.value) for word in words), raised.value


def test_duplicates_are_refused_with_both_origins(installed):
    passes = installed(("third", "third_party:Third"), ("third", "other_party:Third"))
    with pytest.raises(RegraftError, match=r"two passes named 'third': one of third_party:Third, one of other_party"):
        passes.names()


def test_an_unknown_name_gives_the_nearest(installed):
    with pytest.raises(UnknownNameError, match="no pass named 'thrid'; did you mean 'third'"):
        installed(("third", "third_party:Third")).load("thrid")


@pytest.fixture
def fresh(installed, monkeypatch):
    passes = installed(("third", "third_party:Third"))
    monkeypatch.setattr(registry, "passes", passes)
    return passes


def test_a_file_registers_the_passes_it_defines(fresh, tmp_path):
    file = tmp_path / "my_passes.py"
    file.write_text(MODULE.replace("third", "mine") + "class Base(Pass):\n    '''abstract'''\n")
    assert [found.name for found in load_file(file)] == ["mine"]
    assert fresh.names() == ["mine", "third"]
    assert fresh.origin("mine") == str(file)
    load_file(file)
    assert fresh.load("mine").name == "mine"


def test_a_file_cannot_take_a_name_that_another_has(fresh, tmp_path):
    (tmp_path / "a.py").write_text(MODULE)
    with pytest.raises(RegraftError, match=r"two passes named 'third': one of third_party:Third, one of .*a\.py"):
        load_file(tmp_path / "a.py")
    for name in ("b", "c"):
        (tmp_path / f"{name}.py").write_text(MODULE.replace("third", "mine"))
    load_file(tmp_path / "b.py")
    with pytest.raises(RegraftError, match=r"two passes named 'mine'"):
        load_file(tmp_path / "c.py")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["no file of passes"]),
        ("x = 1", ["defines no pass"]),
        ("import nowhere_to_be_found", ["ModuleNotFoundError"]),
        ("def f(:", ["SyntaxError"]),
    ],
)
def test_a_bad_file_is_one_line(fresh, tmp_path, text, words):
    file = tmp_path / "bad.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_file(file)
    message = str(raised.value)
    assert str(file) in message
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_reading_a_pipeline_does_not_import_the_heavy_libraries():
    code = "import sys; sys.modules['regraft'] = type(sys)('regraft'); sys.modules['regraft'].__path__ = ['regraft'];"
    code += "import regraft.pipelines.pipeline; print([m for m in ('onnx', 'onnxruntime', 'rich') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
