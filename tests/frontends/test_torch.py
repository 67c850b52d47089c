"""Modules of torch, and the files that torch writes."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.errors import RegraftError
from regraft.frontends.torch import from_module
from regraft.pipelines.frontend import FrontendError, ImportOptions
from regraft.runtime import Session

BATCH = {"x": {0: "batch"}}


@pytest.fixture
def module(torch: Any) -> Any:
    """A layer that gives a mapping, with a tuple in it."""

    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.dropout = torch.nn.Linear(4, 5), torch.nn.Dropout()

        def forward(self, x: Any, scale: Any) -> dict[str, Any]:
            return {"y": self.dropout(self.layer(x)) * scale, "sums": (x.sum(0), None)}

    torch.manual_seed(0)
    return Scaled()


@pytest.fixture
def inputs(torch: Any) -> tuple[Any, Any]:
    return torch.randn(3, 4), torch.randn(1)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_module_becomes_a_model(module: Any, inputs: tuple[Any, Any], torch: Any, exporter: str) -> None:
    more = [{"x": torch.randn(7, 4), "scale": torch.randn(1)}]
    model = from_module(module, inputs, axes=BATCH, exporter=exporter, more_examples=more)
    assert [(tensor.name, tensor.shape) for tensor in model.inputs] == [("x", ["batch", 4]), ("scale", [1])]
    assert [(tensor.name, tensor.shape) for tensor in model.outputs] == [("y", ["batch", 5]), ("sums_0", [4])]
    assert {"layer.weight", "layer.bias"} <= {tensor.name for tensor in model.graph.tensors().values()}
    assert module.training
    result = Session(model).run({"x": np.ones((2, 4), np.float32), "scale": np.zeros(1, np.float32)})
    assert not result["y"].any()
    assert (result["sums_0"] == 2).all()


@pytest.mark.parametrize(
    ("exporter", "asked", "written"), [("dynamo", 23, 23), ("dynamo", 11, 18), ("torchscript", 23, 20)]
)
def test_opset_is_as_near_as_the_exporter_writes(
    module: Any, inputs: tuple[Any, Any], exporter: str, asked: int, written: int
) -> None:
    assert from_module(module, inputs, exporter=exporter, opset=asked).opset == written


def failing(torch: Any) -> Any:
    class Fails(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return {}["word"]

    return Fails()


def test_example_that_does_not_fit(module: Any, torch: Any) -> None:
    with pytest.raises(FrontendError, match="does not take the example inputs: mat1 and mat2"):
        from_module(module, (torch.randn(3, 5), torch.randn(1)))
    with pytest.raises(FrontendError, match="3 example inputs, forward takes 2"):
        from_module(module, [torch.randn(3, 4)] * 3)
    with pytest.raises(FrontendError, match="axes name 'z'"):
        from_module(module, (torch.randn(3, 4), torch.randn(1)), axes={"z": {0: "batch"}})
    with pytest.raises(FrontendError, match="example input 'scale' is a float"):
        from_module(module, {"x": torch.randn(3, 4), "scale": 2.0})
    with pytest.raises(FrontendError, match="does not take the example inputs: 'word'"):
        from_module(failing(torch), [torch.ones(3)])
    with pytest.raises(RegraftError, match="no exporter named 'jit'"):
        from_module(module, (torch.randn(3, 4), torch.randn(1)), exporter="jit")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_module_in_half_precision(module: Any, inputs: tuple[Any, Any], torch: Any, dtype: str) -> None:
    lower = getattr(torch, dtype)
    with pytest.raises(FrontendError, match=rf"Scaled computes in torch.{dtype}; export it in float32"):
        from_module(module.to(lower), [tensor.to(lower) for tensor in inputs])


def test_branch_on_a_value_is_refused_or_found(torch: Any, capfd: pytest.CaptureFixture[str]) -> None:
    class Branch(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(FrontendError, match=r"torch's exporter refuses Branch \(dynamo\): Could not guard"):
        from_module(Branch(), [torch.ones(3)])
    with pytest.raises(FrontendError, match=r"something else than torch: output: .* 2 at the worst"):
        from_module(Branch(), [torch.ones(3)], exporter="torchscript", more_examples=[{"x": -torch.ones(3)}])
    assert capfd.readouterr() == ("", "")


def test_output_that_is_no_tensor(torch: Any) -> None:
    class Texts(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return {"y": x, "name": "text"}

    with pytest.raises(FrontendError, match="output 'name' is a str"):
        from_module(Texts(), [torch.ones(3)])


def test_exported_program(module: Any, inputs: tuple[Any, Any], torch: Any, tmp_path: Path) -> None:
    path = tmp_path / "scaled.pt2"
    shapes = {"x": {0: torch.export.Dim("batch")}, "scale": None}
    program = torch.export.export(module.eval(), inputs[:1], {"scale": inputs[1]}, dynamic_shapes=shapes)
    torch.export.save(program, path)
    with pytest.raises(FrontendError, match=r"scaled.pt2 is an exported program, .*: give --trust"):
        regraft.open_source(path)
    model = regraft.open_source(path, options=ImportOptions(trust=True))
    assert [tensor.name for tensor in (*model.inputs, *model.outputs)] == ["x", "scale", "y", "sums_0"]
    assert "layer.weight" in model.graph.tensors()
    x, scale = np.ones((6, 4), np.float32), np.full(1, 2, np.float32)
    expected = module(torch.from_numpy(x), torch.from_numpy(scale))["y"].detach().numpy()
    np.testing.assert_allclose(Session(model).run({"x": x, "scale": scale})["y"], expected, atol=1e-6)


class Bomb:
    """Fails the test that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise AssertionError('a pickle was read')",)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    ("name", "members", "kind"),
    [
        ("weights.pth", None, "a pickle: it may hold weights but no graph"),
        ("weights.pt", ["weights/data.pkl"], "a pickle: it may hold weights but no graph"),
        ("script.pt", ["script/data.pkl", "script/constants.pkl"], "a TorchScript archive: "),
    ],
)
def test_pickle_is_named_and_not_read(
    tmp_path: Path, name: str, members: list[str] | None, kind: str, trust: bool
) -> None:
    path = tmp_path / name
    bomb = pickle.dumps(Bomb())
    if members is None:
        path.write_bytes(bomb)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for member in members:
                archive.writestr(member, bomb)
    with pytest.raises(FrontendError, match=f"{name} is {kind}.*torch.export.save"):
        regraft.open_source(path, options=ImportOptions(trust=trust))


def test_command_takes_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Bomb()))
    result = CliRunner().invoke(cli, ["import", str(path), "-o", str(tmp_path / "model.onnx"), "--trust"])
    assert isinstance(result.exception, SystemExit)
    assert "weights.pth is a pickle" in result.stderr
    assert not (tmp_path / "model.onnx").exists()


def test_exported_program_is_not_read_without_trust(tmp_path: Path) -> None:
    path = tmp_path / "program.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/archive_format", "pt2")
        archive.writestr("program/data/sample_inputs/model.pt", pickle.dumps(Bomb()))
    with pytest.raises(FrontendError, match="give --trust"):
        regraft.open_source(path)


def test_broken_program(torch: Any, tmp_path: Path) -> None:
    path = tmp_path / "program.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/archive_format", "pt2")
    with pytest.raises(FrontendError, match=r"program.pt2: torch .* cannot load it: "):
        regraft.open_source(path, options=ImportOptions(trust=True))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_other_files_are_not_torch(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(FrontendError, match="which no frontend knows"):
        regraft.open_source(path)
    with pytest.raises(FrontendError, match="no file that torch wrote"):
        regraft.open_source(path, frontend="torch")
