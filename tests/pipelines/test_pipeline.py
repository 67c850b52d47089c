from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.errors import PipelineError, UnknownNameError
from regraft.pipelines import registry
from regraft.pipelines.grammar import GroupText, PassText, parse, parse_ungrouped, write
from regraft.pipelines.options import Bytes, Shapes, option
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline, Repeat


class Strip(Pass):
    name = "strip-test"


class Fold(Pass):
    name = "fold-test"
    max_bytes: Bytes = "1MiB"
    keep: tuple[str, ...] = ()
    form: Literal["tanh", "erf"] = "tanh"
    ratio: float = 0.5
    label: str = ""


class SetShapes(Pass):
    name = "set-test"
    shapes: Shapes = option({})


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(registry.passes, "_added", {p.name: (p, "here") for p in (Strip, Fold, SetShapes)})


GROUPED = [("b", {"k": ["("]}), GroupText("h", {}, [("c", {})])]


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", []),
        ("  ", []),
        ("a", [("a", {})]),
        (" a , b-c ", [("a", {}), ("b-c", {})]),
        ("a{}", [("a", {})]),
        ("a{k=1MiB}", [("a", {"k": "1MiB"})]),
        ("a{ k = v ,\n l = w }", [("a", {"k": "v", "l": "w"})]),
        ('a{k="x, y}"}', [("a", {"k": "x, y}"})]),
        (r'a{k="\"\\"}', [("a", {"k": '"\\'})]),
        ("a{k={},l={x, y},m={{p,q},r}}", [("a", {"k": [], "l": ["x", "y"], "m": [["p", "q"], "r"]})]),
        ('a{"odd key"=1,/encoder/ids.1:0=8x?}', [("a", {"odd key": "1", "/encoder/ids.1:0": "8x?"})]),
        ("a{k=f(x),g(y)=z}", [("a", {"k": "f(x)", "g(y)": "z"})]),
        ("g( )", [GroupText("g", {}, [])]),
        ("a, g{k=v} (b{k={(}} ,h(c)),d", [("a", {}), GroupText("g", {"k": "v"}, GROUPED), ("d", {})]),
        ('"a(b)"', [("a(b)", {})]),
    ],
)
def test_parsing(text, passes):
    assert parse(text) == passes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,,b", "expected the name of a pass at ^ (column 3): a,^,b"),
        ("a,", "expected the name of a pass at ^ (column 3): a,^"),
        ("a b", "expected ',' or the end at ^ (column 3): a ^b"),
        ("a{k}", "expected '=' after k at ^ (column 4): a{k^}"),
        ("a{k=1", "expected ',' or '}' at ^ (column 6): a{k=1^"),
        ("a{k=}", "expected a value at ^ (column 5): a{k=^}"),
        ("a{k=1}}", "expected ',' or the end at ^ (column 7): a{k=1}^}"),
        ("a{k={x}", "expected ',' or '}' at ^ (column 8): a{k={x}^"),
        ('a{k="x}', 'this quote is not closed, or holds a bad \\ at ^ (column 5): a{k=^"x}'),
        ("a{k=1,k=2}", "option k is given twice at ^ (column 7): a{k=1,^k=2}"),
        ("g(a", "expected ',' or ')' at ^ (column 4): g(a^"),
        ("g(a,)", "expected the name of a pass at ^ (column 5): g(a,^)"),
        ("a)", "expected ',' or the end at ^ (column 2): a^)"),
        ("(a)", "expected the name of a pass at ^ (column 1): ^(a)"),
        ("a{\nk=1", "expected ',' or '}' at ^ (column 7): a{ k=1^"),
    ],
)
def test_an_error_shows_the_place_in_one_line(text, problem):
    with pytest.raises(PipelineError) as raised:
        parse(text)
    assert str(raised.value) == f"bad pipeline: {problem}"


def test_an_error_in_a_long_text_shows_what_is_near():
    with pytest.raises(PipelineError) as raised:
        parse(",".join(["a"] * 500) + ",," + ",".join(["b"] * 500))
    assert len(str(raised.value)) < 200


WORDS = st.text(min_size=0, max_size=8)
VALUES = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
OPTIONS = st.dictionaries(WORDS, VALUES, max_size=3)
STEPS = st.recursive(
    st.builds(PassText, WORDS, OPTIONS),
    lambda inner: st.builds(GroupText, WORDS, OPTIONS, st.lists(inner, max_size=3)),
    max_leaves=6,
)
TEXTS = st.lists(STEPS, max_size=4)


@given(TEXTS)
def test_what_is_written_parses_as_the_same(passes):
    assert parse(write(passes)) == passes


@given(st.text(alphabet='ab,={}()"\\ \n'))
def test_any_text_parses_or_is_refused(text):
    try:
        passes = parse(text)
    except PipelineError:
        return
    assert parse(write(passes)) == passes


PASSES = st.recursive(
    st.one_of(
        st.builds(Strip),
        st.builds(
            Fold,
            max_bytes=st.integers(0, 2**50),
            keep=st.lists(WORDS, max_size=3),
            form=st.sampled_from(["tanh", "erf"]),
            ratio=st.floats(allow_nan=False),
            label=WORDS,
        ),
        st.dictionaries(WORDS, st.lists(st.sampled_from([1, 8, "batch", "max_len", None])), max_size=3).map(
            lambda shapes: SetShapes(shapes=shapes)
        ),
    ),
    lambda inner: st.builds(lambda passes, rounds: Repeat(passes, rounds=rounds), st.lists(inner), st.integers(1, 12)),
    max_leaves=6,
)


@given(st.lists(PASSES, max_size=4))
def test_a_pipeline_round_trips_through_text_and_toml(passes):
    registry.passes._added = {p.name: (p, "here") for p in (Strip, Fold, SetShapes)}
    pipeline = Pipeline(passes)
    assert Pipeline.parse(str(pipeline)) == pipeline
    assert Pipeline.from_toml(pipeline.to_toml()) == pipeline


def test_the_three_forms_agree(tmp_path):
    text = "strip-test,fold-test{max-bytes=2MiB,keep={a,b}},set-test{ids=8x128}"
    toml = """
    pipeline = ["strip-test", {pass = "fold-test", max-bytes = "2MiB", keep = ["a", "b"]},
                {pass = "set-test", ids = [8, 128]}]
    """
    (tmp_path / "p.toml").write_text(toml)
    (tmp_path / "p.txt").write_text(text.replace(",", " ,\n"))
    python = Pipeline([Strip, Fold(max_bytes=2**21, keep=("a", "b"))], "set-test{ids=8x128}")
    assert str(python) == text
    assert Pipeline.read(text) == python
    assert Pipeline.read(tmp_path / "p.toml") == python
    assert Pipeline.read(str(tmp_path / "p.txt")) == python
    assert len(python) == 3
    assert [p.name for p in python] == ["strip-test", "fold-test", "set-test"]


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("pipeline = [", ["bad TOML"]),
        ("passes = []", ["unknown key 'passes'", "'pipeline'"]),
        ('pipeline = [{max-bytes = "1MiB"}]', ["names no pass"]),
        ("pipeline = [5]", ["5 is no pass"]),
        ('pipeline = [{pass = "fold-test", max-bytes = true}]', ["fold-test", "max-bytes"]),
    ],
)
def test_bad_toml_is_refused(toml, words, tmp_path):
    file = tmp_path / "p.toml"
    file.write_text(toml)
    with pytest.raises(PipelineError) as raised:
        Pipeline.read(file)
    message = str(raised.value)
    assert message.startswith(str(file))
    assert all(word in message for word in words), message


def test_a_file_that_is_not_there():
    with pytest.raises(PipelineError, match=r"cannot read nowhere\.toml"):
        Pipeline.read("nowhere.toml")


def test_an_unknown_pass_gives_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'strip-test'"):
        Pipeline.parse("strip-tset")


def test_a_pipeline_is_made_from_another():
    pipeline = Pipeline("strip-test,fold-test{ratio=0.1},strip-test")
    assert str(pipeline.without("fold-test")) == "strip-test,strip-test"
    assert str(pipeline.without("strip-test")) == "fold-test{ratio=0.1}"
    assert (
        str(pipeline.before("strip-test", SetShapes)) == "set-test,strip-test,fold-test{ratio=0.1},set-test,strip-test"
    )
    assert str(pipeline.replacing("fold-test", "set-test,fold-test", Strip())) == (
        "strip-test,set-test,fold-test,strip-test,strip-test"
    )
    assert str(pipeline.replacing("fold-test", [])) == "strip-test,strip-test"
    group = Pipeline("repeat{rounds=3}(fold-test,repeat(strip-test))")
    assert str(group.before("strip-test", Fold)) == "repeat{rounds=3}(fold-test,repeat(fold-test,strip-test))"
    assert str(group.replacing("fold-test", Strip())) == "repeat{rounds=3}(strip-test,repeat(strip-test))"
    assert str(pipeline) == "strip-test,fold-test{ratio=0.1},strip-test"


@pytest.mark.parametrize("edit", ["without", "before", "replacing"])
def test_a_pass_that_is_not_there_cannot_be_replaced(edit):
    with pytest.raises(PipelineError, match="there is no 'set-test' in the pipeline strip-test"):
        getattr(Pipeline("strip-test"), edit)("set-test")


def test_a_group_that_is_repeated():
    pipeline = Pipeline("strip-test,repeat{rounds=3}(fold-test,repeat(strip-test))")
    assert str(pipeline) == "strip-test,repeat{rounds=3}(fold-test,repeat(strip-test))"
    assert [one.name for one in pipeline] == ["strip-test", "fold-test", "strip-test"]
    assert pipeline == Pipeline(Strip, Repeat(Fold, Repeat("strip-test"), rounds=3)) != Pipeline(pipeline.passes)
    assert Pipeline(pipeline, "strip-test").steps == [*pipeline.steps, Strip()]
    table = 'pipeline = ["strip-test", {repeat = ["fold-test", {repeat = ["strip-test"]}], rounds = 3}]'
    assert Pipeline.from_toml(table) == pipeline
    assert hash(pipeline.steps[1]) == hash(Repeat(Fold, Repeat(Strip), rounds=3))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("twice(strip-test)", "'twice' takes no passes in parentheses; 'repeat' and 'join' do"),
        ("strip-test(fold-test)", "'strip-test' takes no passes in parentheses"),
        ("repeat{max=3}(strip-test)", "repeat: no option named 'max'; known: rounds"),
        ("repeat{rounds=many}(strip-test)", "'rounds' of 'repeat' is a number, not 'many'"),
        ("repeat{rounds=0}(strip-test)", "repeated once at least, not 0 times"),
    ],
)
def test_a_group_that_is_none_is_refused(text, problem):
    with pytest.raises(PipelineError, match=problem):
        Pipeline(text)


def test_a_group_where_it_has_no_meaning_is_refused():
    assert parse_ungrouped("a{k=v},b") == [("a", {"k": "v"}), ("b", {})]
    with pytest.raises(PipelineError, match=r"'a\(b\)' has passes in parentheses"):
        parse_ungrouped("a(b)")
