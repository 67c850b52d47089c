from __future__ import annotations

import gc
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from regraft.errors import ModelError
from regraft.ir.weights import Derived, Held, Source, Sparse, Stored, Value, dtype_from_onnx, packed_size, stored_size

VALUES = np.arange(24).reshape(2, 3, 4)


def store(path: Path, tensor: TensorProto, offset: int = 3) -> Stored:
    path.write_bytes(b"x" * offset + tensor.raw_data + b"tail")
    return Stored(tensor, Source(path), offset)


@pytest.mark.parametrize(
    "dtype",
    [
        np.float32,
        np.float16,
        np.int64,
        np.bool_,
        np.complex64,
        ml_dtypes.bfloat16,
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.int4,
        ml_dtypes.uint4,
        ml_dtypes.float4_e2m1fn,
    ],
)
def test_a_stored_value_is_read_from_its_place(tmp_path: Path, dtype: type) -> None:
    values = (VALUES % 8).astype(dtype)
    value = store(tmp_path / "w", numpy_helper.from_array(values, "w"))
    loaded = value.load()
    assert value.shape == (2, 3, 4)
    assert value.dtype == loaded.dtype == values.dtype
    np.testing.assert_array_equal(loaded.astype(np.complex64), values.astype(np.complex64))
    assert not loaded.flags.writeable


def test_a_stored_value_of_a_file_that_was_written_to_is_refused(tmp_path: Path) -> None:
    value = store(tmp_path / "w", numpy_helper.from_array(VALUES))
    view = value.load()
    os.pwrite(os.open(tmp_path / "w", os.O_WRONLY), np.int64(99).tobytes(), 3)
    np.testing.assert_array_equal(view, VALUES)
    os.utime(tmp_path / "w", (1, 1))  # whatever the clock of the file system resolves
    with pytest.raises(ModelError, match="w was changed since it was loaded; load it again"):
        value.load()


def test_a_released_value_can_be_read_again(tmp_path: Path) -> None:
    value = store(tmp_path / "w", numpy_helper.from_array(VALUES))
    view = value.load()
    value.release()
    np.testing.assert_array_equal(view, VALUES)
    np.testing.assert_array_equal(value.load(), VALUES)


def test_a_stored_value_outlives_the_replacement_of_its_file(tmp_path: Path) -> None:
    value = store(tmp_path / "w", numpy_helper.from_array(VALUES))
    assert value.source.is_current()
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "new").replace(tmp_path / "w")
    assert not value.source.is_current()
    np.testing.assert_array_equal(value.load(), VALUES)
    (tmp_path / "w").unlink()
    assert not value.source.is_current()


def test_an_empty_value_has_no_bytes_to_read(tmp_path: Path) -> None:
    value = store(tmp_path / "w", numpy_helper.from_array(np.empty((0, 3), np.float32)))
    assert value.load().shape == (0, 3)
    value.release()


def test_a_source_reads_like_bytes(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(40_000)
    (tmp_path / "w").write_bytes(content)
    source = Source(tmp_path / "w")
    assert len(source) == len(content)
    places = [0, 16_383, 16_384, 39_999, 5]
    assert [source[i] for i in places] == [content[i] for i in places]
    assert [source[i : i + 20_000] for i in places] == [content[i : i + 20_000] for i in places]
    os.truncate(tmp_path / "w", 30_000)
    with pytest.raises(ModelError, match="became shorter while it was read, at byte 30000"):
        source[20_000:40_000]


def test_a_source_closes_its_file(tmp_path: Path) -> None:
    value = store(tmp_path / "w", numpy_helper.from_array(VALUES))
    fd = value.source.fd
    view = value.load()
    del value
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    np.testing.assert_array_equal(view, VALUES)


def test_a_source_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*gone: No such file"):
        Source(tmp_path / "gone")


def test_a_held_value_is_the_tensor() -> None:
    value = Held(helper.make_tensor("s", TensorProto.STRING, [2], ["ab", "c"]))
    assert value.load().tolist() in ([b"ab", b"c"], ["ab", "c"])
    assert value.nbytes == 3
    assert value.load() is value.load()


def test_a_derived_value_is_computed_each_time_from_what_its_inputs_are() -> None:
    calls = []

    def scale(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return (x * factor).astype(np.float16)

    inner = Derived([VALUES, np.array(2)], scale, VALUES.shape, np.float16)
    outer = Derived([inner, np.array(3)], scale, VALUES.shape, np.float16)
    assert not calls
    np.testing.assert_array_equal(outer.load(), VALUES * 6)
    np.testing.assert_array_equal(outer.load(), VALUES * 6)
    assert len(calls) == 4
    assert outer.nbytes == VALUES.size * 2


def test_a_derived_value_leaves_its_input_writable() -> None:
    values = VALUES.copy()
    view = Derived([values], lambda x: x, values.shape, values.dtype).load()
    assert values.flags.writeable
    assert not view.flags.writeable


@pytest.mark.parametrize(("shape", "dtype"), [((24,), np.int64), (VALUES.shape, np.float32)])
def test_a_derived_value_that_breaks_its_promise_is_refused(shape: tuple[int, ...], dtype: type) -> None:
    value: Value = Derived([VALUES], lambda x: x, shape, dtype)
    with pytest.raises(ModelError, match=r"came out as int64\[2, 3, 4\], promised was"):
        value.load()


@pytest.mark.parametrize("linear", [True, False])
def test_a_sparse_value_gives_the_dense_array(linear: bool) -> None:
    dense = np.zeros((3, 4), np.float32)
    dense[0, 1], dense[2, 3] = 5, 7
    places = np.flatnonzero(dense) if linear else np.argwhere(dense)
    proto = helper.make_sparse_tensor(
        numpy_helper.from_array(dense[dense != 0], "s"), numpy_helper.from_array(places), dense.shape
    )
    value = Sparse(proto)
    np.testing.assert_array_equal(value.load(), dense)
    assert value.shape == (3, 4)


@pytest.mark.parametrize(
    ("shape", "code", "size"),
    [
        ((3, 5), TensorProto.INT4, 8),
        ((3, 5), TensorProto.FLOAT, 60),
        ((), TensorProto.BFLOAT16, 2),
        ((0, 7), TensorProto.INT64, 0),
    ],
)
def test_packed_size(shape: tuple[int, ...], code: int, size: int) -> None:
    assert packed_size(shape, code) == size


@pytest.mark.parametrize("code", [c for c in TensorProto.DataType.values() if c])
def test_every_data_type_of_onnx_has_a_size(code: int) -> None:
    name = TensorProto.DataType.Name(code)
    values = [b"a"] * 10 if name == "STRING" else [1] * 10
    tensor = helper.make_tensor("t", code, [10], values)
    array = numpy_helper.to_array(tensor)
    assert dtype_from_onnx(code) == array.dtype
    if name != "STRING":
        assert stored_size(tensor) == len(numpy_helper.from_array(array).raw_data)


def test_an_unknown_data_type_is_named() -> None:
    with pytest.raises(ModelError, match=f"tensor 'w': data type 99 is unknown to onnx {onnx.__version__}"):
        Held(TensorProto(name="w", data_type=99, dims=[1]))
