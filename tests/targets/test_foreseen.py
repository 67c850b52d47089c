"""A profile says no where the compiler does: of models as exporters wrote them, with no pass to help."""

from __future__ import annotations

from pathlib import Path

import pytest

import regraft
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from tests.acceptance import page
from tests.acceptance.cells import COMPILERS
from tests.acceptance.models import SUBJECTS, make
from tests.targets.compiling import compile, needs

AS_IT_IS = "strip-dropout"  # finds nothing here
PAGE = page.read((Path(__file__).parents[2] / "docs/acceptance.md").read_text(encoding="utf-8"))

EXCEPTIONS = {("mnn", "t5-encoder-ts-static"): "right by luck: its mask depends on a scalar that MNN never writes"}
"""Files of which a profile says another thing than the page, and why."""


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_is_red_raw_on_the_page_is_foreseen(compiler, files):
    make(files)
    target = read_target(compiler)
    taken = {one.name: target.check(regraft.load(one.file(files))) == [] for one in SUBJECTS}
    unlike = {name for name in taken if taken[name] != (PAGE[compiler, name, "raw"] == "✓")}
    assert unlike == {name for owner, name in EXCEPTIONS if owner == compiler}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("bert-static-dynamo", True),
        ("t5-encoder-dynamo", True),
        ("vit-ts", True),
        ("bert-cls-sdpa-dynamo-op23", False),
        ("bert-cls-sdpa-ts", False),
        ("bert-mlm-tied-dynamo", False),
        ("gpt2-sdpa-dynamo", False),
        ("roberta-sdpa-dynamo", False),
    ],
)
def test_tract(artifacts, tmp_path, name, taken):
    needs("tract")
    source = artifacts / f"pytorch/{name}.onnx"
    assert (read_target("tract").check(regraft.load(source)) == []) == taken
    if taken:
        assert compile("tract", source, tmp_path / "bundle", pipeline=AS_IT_IS)["drift"]["passed"]
    else:
        with pytest.raises(CompilerError):
            compile("tract", source, tmp_path / "bundle", pipeline=AS_IT_IS, check=False)
