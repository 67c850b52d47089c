from __future__ import annotations

from pathlib import Path

import pytest

from regraft.legality.profile import read_profile
from regraft.legality.tables import ProfileError
from regraft.pipelines.pipeline import Pipeline

FOLDER = Path(__file__).parents[2] / "targets"
PROFILES = sorted(FOLDER.glob("*.toml"))
HEAD = 'operators = "any"\nsource = "me"\n'


def read(folder: Path, text: str):
    path = folder / "mine.toml"
    path.write_text(text)
    return read_profile(path)


def gap(condition: str) -> str:
    """The text of a gap."""
    return f'[[gap]]\noperator = "MatMul"\nreason = ""\nwhen = {{ {condition} }}'


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_reads_and_suggests_pipelines_that_exist(path):
    profile = read_profile(path)
    lines = [*profile.limits, *profile.gap]
    mends = [text for line in lines for text in line.mend]
    mends += [text for mend in (profile.listed.mend if profile.listed else {}).values() for text in mend]
    for text in mends:
        if text not in ("set-shapes", "select-outputs"):  # the user says which
            Pipeline.parse(text)
    assert profile.source
    assert all(line.reason for line in lines)


def test_a_profile_is_read_into_dataclasses(tmp_path):
    profile = read(
        tmp_path,
        HEAD
        + """
        [limits]
        opset = { min = 9, max = 17, reason = "too new", mend = ["convert-opset{version=17}"] }
        inputs = [
            { dtypes = ["float32", "int32"], reason = "no int64" },
            { count = { max = 2 }, reason = "two at most", source = "manual" },
        ]
        [[gap]]
        operator = ["Softmax", "LogSoftmax"]
        unless = { attribute = { axis = -1 } }
        reason = "last axis"
        """,
    )
    (opset,) = profile.limits.opset
    assert (opset.min, opset.max, opset.mend) == (9, 17, ("convert-opset{version=17}",))
    assert [one.source for one in profile.limits.inputs] == ["", "manual"]
    assert list(profile.gaps) == ["Softmax", "LogSoftmax"]
    assert profile.gaps["Softmax"][0].unless.attribute["axis"].any_of == (-1,)
    assert profile.gaps["Softmax"][0].when is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('source = "me"', "mine.toml: key 'operators' is missing"),
        ('operators = "all"\nsource = "me"', "mine.toml: operators: 'all' is not one of any, listed"),
        ('operators = "listed"\nsource = "me"', 'operators = "listed" goes with a table [listed]'),
        (HEAD + "[listed]\nnames = []", '"any" goes without'),
        (HEAD + "[limit]", "mine.toml: no key named 'limit'; did you mean 'limits'?"),
        (HEAD + "[limits]\nshape = 1", "mine.toml: limits: no key named 'shape'; did you mean 'shapes'?"),
        (HEAD + '[limits]\nshapes = { must = "fixed", reason = "" }', "limits.shapes.must: 'fixed' is not one of"),
        (HEAD + '[limits]\nshapes = { must = "static" }', "limits.shapes: key 'reason' is missing"),
        (HEAD + '[limits]\nopset = { max = "9", reason = "" }', "limits.opset.max: '9' is not a whole number"),
        (HEAD + '[limits]\nopset = { max = true, reason = "" }', "True is not a whole number"),
        (HEAD + '[limits]\nopset = { reason = "" }', "limits.opset: say what may be"),
        (HEAD + '[limits]\nopset = { min = 9, max = 8, reason = "" }', "min 9 is more than max 8"),
        (HEAD + '[limits]\ndtypes = { reason = "" }', "say which dtypes: any-of, or none-of"),
        (HEAD + '[limits]\ndtypes = { any-of = ["float23"], reason = "" }', "no dtype named 'float23'; did you mean"),
        (HEAD + '[limits]\ninputs = { reason = "" }', "say what is wanted: dtypes, rank, names, count or dims"),
        (HEAD + '[[gap]]\noperator = "MatMull"\nreason = ""', "gap[1].operator: no ONNX operator named 'MatMull'"),
        (HEAD + '[[gap]]\nreason = ""', "gap[1]: key 'operator' is missing"),
        (HEAD + '[[gap]]\nreason = ""\noperator = 3', "gap[1].operator: 3 is not text"),
        (
            HEAD + '[[gap]]\noperator = "Cast"\nreason = ""\nmend = ["narow-integers"]',
            "gap[1].mend: no pass named 'narow-integers'; did you mean 'narrow-integers'?",
        ),
        (
            HEAD + '[[gap]]\noperator = "Erf"\nreason = ""\nmend = ["lower-erf{form=sine}"]',
            "gap[1].mend: lower-erf: option form: 'sine' is not one of",
        ),
        (HEAD + '[[gap]]\noperator = "Cast"\nreason = ""\nmend = ["a{"]', "gap[1].mend: bad pipeline"),
        (
            HEAD + '[[gap]]\noperator = "Reshape"\nreason = ""\nwhen = { attribute = { alowzero = 1 } }',
            "gap[1].when.attribute: no attribute of Reshape named 'alowzero'; did you mean 'allowzero'?",
        ),
        (
            HEAD + '[[gap]]\noperator = "Reshape"\nreason = ""\nwhen = { input = { shap = "computed" } }',
            "gap[1].when.input: no input of Reshape named 'shap'; did you mean 'shape'?",
        ),
        (
            HEAD + '[[gap]]\noperator = "Reshape"\nreason = ""\nwhen = { input = { shape = "known" } }',
            "'known' is not one of constant, computed, unknown, given, absent",
        ),
        (
            HEAD + '[[gap]]\noperator = "Add"\nreason = ""\nunless = { rnk = 3 }',
            "gap[1].unless: no key named 'rnk'; did you mean 'rank'?",
        ),
        (
            HEAD + '[[gap]]\noperator = "Add"\nreason = ""\nwhen = { output = { C = { rank = 3 } } }',
            "'C' is not a place; outputs are numbered from 0",
        ),
        (
            HEAD + '[[gap]]\noperator = "Add"\nreason = ""\nwhen = { input = { 0 = { dims = { last = 3 } } } }',
            "'last' is not a place, such as 0 or -1",
        ),
        (
            'operators = "listed"\nsource = ""\n[listed]\nnames = ["Erf"]\nmend = { Erf = ["lower-erf"] }',
            "listed.mend: 'Erf' is listed, and needs no mend; write a gap",
        ),
        (HEAD + 'pipeline = "fuse-gelus"', "pipeline: no pass named 'fuse-gelus'; did you mean 'fuse-gelu'?"),
        ("operators = ", "mine.toml: bad TOML"),
        (HEAD + "limits = 3", "limits: 3 is not a table"),
        (HEAD + "gap = 3", "gap: 3 is not a table"),
        (HEAD + '[[gap]]\noperator = []\nreason = ""', "gap[1].operator: name an operator"),
        (HEAD + gap("rank = []"), "when.rank: say what may be"),
        (HEAD + gap('rank = "four"'), "when.rank: 'four' is not a whole number"),
        (HEAD + gap("rank = 2.5"), "when.rank: 2.5 is not a whole number"),
        (HEAD + gap("rank = { any-of = [true] }"), "when.rank: True is not a whole number"),
        (HEAD + gap("rank = { min = 'one' }"), "when.rank.min: 'one' is not a number"),
        (HEAD + gap("rank = { multiple-of = 0 }"), "when.rank: multiple-of 0 is not a positive number"),
        (HEAD + gap("dtype = []"), "when.dtype: name a dtype"),
        (HEAD + gap("dtype = 32"), "when.dtype: 32 is not text"),
        (HEAD + gap("shape = 'open'"), "when.shape: 'open' is not one of static, dynamic"),
        (HEAD + gap("input = { 0 = { value = 2020-01-01 } }"), "is not a number, a word or a list of these"),
        (HEAD + gap("input = { 0 = { by = 'Slise' } }"), "0.by: no ONNX operator named 'Slise'; did you mean 'Slice'?"),
        (HEAD + gap("attribute = []"), "when.attribute: [] is not a table"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file_and_the_key(tmp_path, text, problem):
    with pytest.raises(ProfileError) as error:
        read(tmp_path, text)
    assert problem in str(error.value)
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_profile_that_is_not_there(tmp_path):
    with pytest.raises(ProfileError, match=r"cannot read .*none\.toml: No such file"):
        read_profile(tmp_path / "none.toml")
