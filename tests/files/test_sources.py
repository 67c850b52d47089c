from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from regraft.errors import ModelError
from regraft.files.sources import Sources

VALUES = np.arange(300, dtype=np.float32)


def external(**entries: object) -> TensorProto:
    tensor = TensorProto(name="w", dims=VALUES.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "w.bin").write_bytes(b"head" + VALUES.tobytes())
    (folder / "sub" / "w.bin").write_bytes(VALUES.tobytes())
    (tmp_path / "out.bin").write_bytes(VALUES.tobytes())
    (folder / "link.bin").symlink_to("../out.bin")
    (folder / "inner.bin").symlink_to("sub/w.bin")
    return Sources(folder / "model.onnx")


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": 4},
        {"offset": 4, "length": 1200, "checksum": "whatever"},
        {"location": "sub/w.bin"},
        {"location": "sub/../sub/w.bin", "length": 0},
        {"location": "inner.bin"},
    ],
)
def test_external_data_is_found_beside_the_model(sources: Sources, entries: dict[str, object]) -> None:
    np.testing.assert_array_equal(sources.value(external(**entries)).load(), VALUES)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../out.bin"}, "external data '../out.bin' lies outside the model's folder"),
        ({"location": "/etc/passwd"}, "external data '/etc/passwd' lies outside"),
        ({"location": "link.bin"}, "lies outside"),
        ({"location": ""}, "lies outside"),
        ({"location": "sub"}, "sub is missing"),
        ({"location": "gone.bin"}, r"gone.bin is missing; put it beside the model"),
        ({"location": "a\0b"}, "external data"),
        ({"location": "x" * 300}, "external data"),
        ({"location": "regraft:inline"}, "external data"),
        ({"offset": 5}, r"w.bin is truncated: 1,204 bytes, needed up to byte 1,205"),
        ({"offset": 10**30}, "no number from 0"),
        ({"offset": 10**18}, "is truncated"),
        ({"offset": "9" * 5000}, "5000 characters long"),
        ({"offset": -4}, "offset '-4', which is no number from 0"),
        ({"offset": "four"}, "offset 'four', which is no number from 0"),
        ({"offset": ""}, "offset '', which is no number from 0"),
        ({"offset": "²"}, "no number from 0"),
        ({"length": "1e3"}, "length '1e3', which is no number from 0"),
        ({"length": 1199}, r"1,199 bytes stored, its shape \[300\] takes 1,200"),
    ],
)
def test_external_data_that_makes_no_sense_is_refused(
    sources: Sources, entries: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=f"tensor 'w': .*{message}") as caught:
        sources.value(external(**entries))
    assert "\n" not in str(caught.value)


def test_external_data_of_a_model_without_a_folder_is_refused() -> None:
    with pytest.raises(ModelError, match=r"external data 'w\.bin' of a model that has no folder"):
        Sources(None).value(external())


def test_a_file_is_opened_once(sources: Sources) -> None:
    first, second = (sources.value(external(offset=offset)) for offset in (0, 4))
    assert first.source is second.source  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(name="w", dims=[3], data_type=TensorProto.FLOAT, raw_data=b"12345678"),
        TensorProto(name="w", dims=[3], data_type=TensorProto.FLOAT, float_data=[1, 2]),
        TensorProto(name="w", dims=[3], data_type=TensorProto.FLOAT),
        TensorProto(name="w", dims=[3], data_type=TensorProto.FLOAT16, int32_data=[1, 2]),
        TensorProto(name="w", dims=[3], data_type=TensorProto.COMPLEX64, float_data=[1, 2, 3]),
        TensorProto(name="w", dims=[5], data_type=TensorProto.INT4, int32_data=[1, 2]),
        TensorProto(name="w", dims=[3], data_type=TensorProto.STRING, string_data=[b"a"]),
        TensorProto(name="w", dims=[-3], data_type=TensorProto.FLOAT, float_data=[1, 2, 3]),
        TensorProto(name="w", dims=[-1, -3], data_type=TensorProto.FLOAT, float_data=[1, 2, 3]),
    ],
)
def test_values_that_do_not_fill_the_shape_are_refused(tensor: TensorProto) -> None:
    with pytest.raises(ModelError, match=r"tensor 'w': has \d+ (bytes|values), its shape \[.*\] takes -?\d+"):
        Sources(None).value(tensor)


@pytest.mark.parametrize("code", [c for c in TensorProto.DataType.values() if c])
@pytest.mark.parametrize("shape", [[], [0], [7], [2, 3]])
def test_values_of_every_type_are_taken(code: int, shape: list[int]) -> None:
    count = int(np.prod(shape))
    values = [b"a"] * count if code == TensorProto.STRING else [1] * count
    tensor = helper.make_tensor("w", code, shape, values)
    expected = numpy_helper.to_array(tensor)
    np.testing.assert_array_equal(Sources(None).value(tensor).load(), expected)
