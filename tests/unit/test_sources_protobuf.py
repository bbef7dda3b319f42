"""Messages decoded by hand, against TensorBoard's own; bytes that are no message are an error of one kind."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as tensorboard_crc32c
from tensorboard.util.tensor_util import make_ndarray, make_tensor_proto

from trackbridge.errors import SourceRefused
from trackbridge.sources.protobuf import as_int, fields
from trackbridge.sources.tensorboard_events import read_event, read_hyperparameters, read_tensor
from trackbridge.sources.tensorboard_records import masked_crc32c, read_records


@given(st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1), st.text(max_size=20), st.floats(width=32))
def test_an_event_reads_as_it_was_written(time_s: float, step: int, tag: str, value: float) -> None:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    content = Event(wall_time=time_s, step=step, summary=summary).SerializeToString()
    if math.isinf(time_s):
        with pytest.raises(ValueError, match="its time is"):
            read_event(content)
        return

    event = read_event(content)

    assert (event.time_s, event.step, event.values[0].tag) == (time_s, step, tag)
    assert repr(event.values[0].scalar) == repr(value)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "i1", "i2", "?"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_tensors_of_every_type_read_as_tensorboard_reads_them(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(math.prod(shape)) % 2).reshape(shape).astype(dtype)
    proto = make_tensor_proto(array)

    tensor = read_tensor(proto.SerializeToString())

    assert tensor.shape == shape
    assert tensor.elements == make_ndarray(proto).ravel().tolist()


def test_a_tensor_that_spells_one_of_its_equal_numbers_is_whole() -> None:
    proto = make_tensor_proto(np.zeros(1, dtype="f4"))
    proto.tensor_shape.dim[0].size = 5
    proto.tensor_content = b""
    del proto.float_val[:]
    proto.float_val.append(2.0)

    assert read_tensor(proto.SerializeToString()).elements == [2.0] * 5


def test_a_tensor_of_absurd_size_takes_no_memory() -> None:
    proto = make_tensor_proto(np.zeros(1, dtype="f4"))
    proto.tensor_shape.dim[0].size = 2**50
    proto.tensor_content = b""
    del proto.float_val[:]
    proto.float_val.append(2.0)

    assert read_tensor(proto.SerializeToString()).elements == [2.0]


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_a_value_error(content: bytes) -> None:
    for read in (read_event, read_tensor, read_hyperparameters, lambda message: list(fields(message))):
        try:
            read(content)
        except ValueError:
            pass


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_a_file_of_any_bytes_is_read_to_its_end(content: bytes) -> None:
    try:
        found = list(read_records(io.BytesIO(content)))
    except SourceRefused:
        return
    assert bool(found) == bool(content)


@given(st.binary(max_size=100))
def test_the_checksum_is_tensorboards_own(content: bytes) -> None:
    assert masked_crc32c(content) == tensorboard_crc32c(content)


def test_negative_numbers_are_ten_bytes() -> None:
    ((number, value),) = fields(b"\x10" + b"\xff" * 9 + b"\x01")

    assert (number, as_int(value)) == (2, -1)
