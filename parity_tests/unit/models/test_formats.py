"""Every kind of model file is written and read back to the same bytes and values, and a file that does not fit its
format is refused with the place where it stops fitting (spec 10).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auparity.errors import ContractError, ModelFormatError
from auparity.models.formats.au import parse_au, write_au
from auparity.models.formats.binary import BinaryReader, BinaryWriter
from auparity.models.formats.ccnf import parse_ccnf, write_ccnf
from auparity.models.formats.cen import parse_cen, write_cen
from auparity.models.formats.early_termination import parse_early_termination, write_early_termination
from auparity.models.formats.fhog_file import FHOGRecords, fhog_record, parse_fhog, write_fhog
from auparity.models.formats.files import read_bytes, save
from auparity.models.formats.mtcnn import parse_mtcnn_net, write_mtcnn_net
from auparity.models.formats.pdm import parse_pdm, write_pdm
from auparity.models.formats.text import TextReader, format_matrix, parse_matrix
from auparity.models.formats.triangulation import (
    parse_triangulation,
    parse_triangulations,
    write_triangulation,
    write_triangulations,
)
from auparity.models.formats.validator import parse_validator, write_validator
from auparity.models.types import ConvNet, Convolution, FullyConnected, MaxPool, Sigmoid
from auparity.parity_tests.unit.helpers import factories


@dataclass(frozen=True)
class Format:
    """One kind of file with a small example of it."""

    parse: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    make: Callable[[np.random.Generator], Any]


def _au(task: Any, dynamic: bool) -> Callable[[np.random.Generator], Any]:
    return lambda rng: replace(factories.make_au_model(rng, "AU12", task, dynamic, rng.normal(size=9)), au_names=())


def _fhog(rng: np.random.Generator) -> FHOGRecords:
    return FHOGRecords(np.array([True, False]), rng.normal(size=(2, 3, 2, 4)).astype(np.float32))


FORMATS = {
    "ccnf": Format(parse_ccnf, write_ccnf, lambda rng: factories.make_ccnf(rng, 3, 0.5, (0.0, -70.0), (2, 3))),
    "ccnf of an eye": Format(parse_ccnf, write_ccnf, lambda rng: factories.make_ccnf(rng, 3, 1.5, (0.0,), (3, 5), 0)),
    "cen": Format(parse_cen, write_cen, lambda rng: factories.make_cen(rng, 3, 0.35)),
    "pnet": Format(parse_mtcnn_net, write_mtcnn_net, lambda rng: factories.make_mtcnn(rng).pnet),
    "onet": Format(parse_mtcnn_net, write_mtcnn_net, lambda rng: factories.make_mtcnn(rng).onet),
    "validator": Format(parse_validator, write_validator, lambda rng: factories.make_validator(rng, 5, (0.0,))),
    "static intensity": Format(parse_au, write_au, _au("intensity", False)),
    "dynamic intensity": Format(parse_au, write_au, _au("intensity", True)),
    "static presence": Format(parse_au, write_au, _au("presence", False)),
    "dynamic presence": Format(parse_au, write_au, _au("presence", True)),
    "pdm": Format(parse_pdm, write_pdm, lambda rng: factories.make_pdm(rng, 4, 3)),
    "early termination": Format(
        parse_early_termination, write_early_termination, lambda rng: factories.make_early_termination(rng, 4)
    ),
    "triangulations": Format(
        parse_triangulations, write_triangulations, lambda rng: (factories.make_triangles(rng, 9, 4),) * 3
    ),
    "triangulation": Format(parse_triangulation, write_triangulation, lambda rng: factories.make_triangles(rng, 9, 4)),
    "fhog records": Format(parse_fhog, write_fhog, _fhog),
}
BINARY = [name for name in FORMATS if name not in ("pdm", "early termination", "triangulations", "triangulation")]


def same(a: Any, b: Any) -> bool:
    """Equal in types, shapes and bits."""
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@pytest.fixture(params=FORMATS)
def example(request: pytest.FixtureRequest) -> tuple[Format, Any, bytes]:
    form = FORMATS[request.param]
    model = form.make(np.random.default_rng(7))
    return form, model, form.write(model)


def test_a_model_survives_writing_and_reading_bit_for_bit(example: tuple[Format, Any, bytes]) -> None:
    form, model, data = example
    assert same(form.parse(data), model)
    assert form.write(form.parse(data)) == data


def test_weights_are_read_only(example: tuple[Format, Any, bytes]) -> None:
    def arrays(value: Any) -> list[np.ndarray]:
        if isinstance(value, np.ndarray):
            return [value]
        members = value if isinstance(value, tuple) else [getattr(value, f) for f in _fields(value)]
        return [array for member in members for array in arrays(member)]

    def _fields(value: Any) -> list[str]:
        return list(getattr(value, "__dataclass_fields__", ()))

    form, _, data = example
    written_to = [a for a in arrays(form.parse(data)) if a.flags.writeable and a.size]
    assert not written_to


@pytest.mark.parametrize("name", BINARY)
def test_a_byte_too_many_is_refused_at_its_place(name: str) -> None:
    form = FORMATS[name]
    data = form.write(form.make(np.random.default_rng(0)))
    with pytest.raises(ModelFormatError, match=r"more bytes|whole records") as caught:
        form.parse(data + b"\0")
    assert caught.value.offset in (len(data), 0)


@pytest.mark.parametrize("name", [name for name in BINARY if name != "fhog records"])
def test_every_truncation_of_a_binary_file_is_refused(name: str) -> None:
    form = FORMATS[name]
    data = form.write(form.make(np.random.default_rng(1)))
    for size in {*range(0, min(len(data), 400)), *range(400, len(data), max(1, len(data) // 97)), len(data) - 1}:
        with pytest.raises(ModelFormatError):
            form.parse(data[:size])


def test_a_nan_among_the_weights_is_refused_at_its_matrix() -> None:
    model = factories.make_au_model(np.random.default_rng(0), "AU01", "intensity", False, np.zeros(5))
    data = bytearray(write_au(model))
    place = 4 + 12 + 5 * 8  # kind, means
    struct.pack_into("<d", data, place + 12 + 8, math.nan)
    with pytest.raises(ModelFormatError, match="finite numbers in weights") as caught:
        parse_au(bytes(data))
    assert caught.value.offset == place


@pytest.mark.parametrize(("rows", "cols"), [(-1, 5), (5, -1), (2**31 - 1, 2**31 - 1), (70_000, 70_000)])
def test_absurd_matrix_sizes_are_refused_before_allocation(rows: int, cols: int) -> None:
    with pytest.raises(ModelFormatError, match="that fits into the 8 bytes left"):
        BinaryReader(struct.pack("<3id", rows, cols, 6, 1.0), "file").matrix("weights")


@pytest.mark.parametrize("dtype", ["u1", "<i4", "<f4", "<f8"])
def test_a_matrix_keeps_its_stored_type(dtype: str) -> None:
    writer = BinaryWriter()
    writer.matrix("table", np.arange(6).astype(dtype).reshape(2, 3))
    stored = BinaryReader(writer.getvalue(), "file").matrix("table")
    assert stored.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(stored, [[0, 1, 2], [3, 4, 5]])


def test_a_matrix_of_another_stored_type_is_converted_after_reading() -> None:
    writer = BinaryWriter()
    writer.matrix("table", np.array([[1.5, 2.0]]))
    assert BinaryReader(writer.getvalue(), "file").matrix("table", np.float32).dtype == np.float32
    with pytest.raises(ModelFormatError, match="whole numbers"):
        BinaryReader(writer.getvalue(), "file").matrix("table", np.int32)


def test_a_number_too_large_for_float32_is_refused() -> None:
    writer = BinaryWriter()
    writer.matrix("table", np.array([[1e300]]))
    with pytest.raises(ModelFormatError, match="finite"):
        BinaryReader(writer.getvalue(), "file").matrix("table", np.float32)


def test_an_unknown_type_code_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="type code 0, 4, 5 or 6") as caught:
        BinaryReader(struct.pack("<3i", 1, 1, 3) + b"12345678", "file").matrix("table")
    assert caught.value.offset == 8


def test_nothing_is_cast_on_writing() -> None:
    patch = factories.make_cen(np.random.default_rng(0), 3)
    double = replace(patch, mirror_views=patch.mirror_views.astype(np.int64))
    with pytest.raises(ContractError, match="mirrored views"):
        write_cen(double)


@pytest.mark.parametrize("kind", [2, 3, 6, 7, -1, 8])
def test_only_linear_au_models_are_read(kind: int) -> None:
    with pytest.raises(ModelFormatError, match=f"kind {kind}"):
        parse_au(struct.pack("<i", kind) + b"\0" * 100)


def test_a_fully_connected_layer_must_fit_behind_the_maps_before_it() -> None:
    net = factories.make_mtcnn(np.random.default_rng(0)).pnet
    wrong = FullyConnected(np.zeros((5, 6), np.float32), np.zeros(6, np.float32))
    with pytest.raises(ModelFormatError, match="fits behind 4 outputs"):
        parse_mtcnn_net(write_mtcnn_net(ConvNet((*net.layers[:-1], wrong))))


def test_a_validator_stores_only_the_pooling_that_it_implies() -> None:
    validator = factories.make_validator(np.random.default_rng(0), 5, (0.0,))
    pooled = replace(validator.views[0], net=ConvNet((MaxPool((3, 3), (2, 2)),)))
    with pytest.raises(ContractError, match="max pooling"):
        write_validator(replace(validator, views=(pooled,)))


def test_a_detector_net_may_end_in_a_sigmoid() -> None:
    net = ConvNet((*factories.make_mtcnn(np.random.default_rng(0)).pnet.layers, Sigmoid()))
    assert isinstance(parse_mtcnn_net(write_mtcnn_net(net)).layers[-1], Sigmoid)


def test_kernels_are_stored_input_by_input() -> None:
    net = factories.make_mtcnn(np.random.default_rng(0)).pnet
    data = write_mtcnn_net(net)
    first_kernels = 4 + 4 + 8 + 4 * 2  # layers, tag, inputs and kernels, two biases
    kernel = struct.Struct("<3i9f")
    second = kernel.unpack_from(data, first_kernels + kernel.size)
    convolution = net.layers[0]
    assert isinstance(convolution, Convolution)
    np.testing.assert_array_equal(np.array(second[3:], np.float32).reshape(3, 3), convolution.weights[1, 0])


def test_text_numbers_read_back_to_the_same_bits() -> None:
    values = np.array([[0.1, -0.0, 1 / 3], [1e-300, 12345.678901, np.nextafter(1.0, 2.0)]])
    assert same(parse_matrix(format_matrix(values), "file"), values)


def test_short_text_numbers_are_written_with_six_decimals() -> None:
    assert format_matrix(np.array([[1.5, -0.0]])) == b"1\n2\n6\n1.500000 -0.000000 \n"


@pytest.mark.parametrize("text", [b"nan", b"inf", b"1_0", b"0x10", b"--1", b"1e", b"1e999", b"\xff"])
def test_what_is_no_decimal_number_is_refused(text: bytes) -> None:
    with pytest.raises(ModelFormatError) as caught:
        parse_matrix(b"1\n2\n6\n1.0 " + text, "file")
    assert caught.value.offset == 10


@pytest.mark.parametrize("head", [b"-1 2 6", b"2 2147483647 6", b"99999999999 1 6", b"1 1 0", b"1 1 7", b"1.0 1 6"])
def test_an_absurd_text_matrix_is_refused(head: bytes) -> None:
    with pytest.raises(ModelFormatError):
        parse_matrix(head + b"\n1.0\n", "file")


def test_comment_lines_are_skipped_whole_and_also_after_the_last_matrix() -> None:
    reader = TextReader(b"# one\r\n\r\n two is skipped because it starts with a space\n3 # rest\n#end", "file")
    reader.skip_comments()
    assert reader.integer("number") == 3
    reader.end()


def test_fhog_records_hold_columns_rows_channels_flag_and_cells_channel_fastest() -> None:
    cells = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    record = fhog_record(cells, good=False)
    assert struct.unpack_from("<3if", record) == (3, 2, 4, -1.0)
    np.testing.assert_array_equal(np.frombuffer(record, "<f4", offset=16), np.arange(24))
    with pytest.raises(ContractError, match="float32"):
        fhog_record(cells.astype(np.float64), good=True)


def test_fhog_records_may_end_after_any_frame_but_not_inside_one() -> None:
    form = FORMATS["fhog records"]
    data = form.write(form.make(np.random.default_rng(1)))
    assert len(form.parse(data[: len(data) // 2]).good) == 1
    with pytest.raises(ModelFormatError, match="whole records"):
        form.parse(data[:-1])


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "folder" / "model.dat"
    save(target, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_a_missing_file_names_the_list_that_wanted_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"gone\.dat.*because .*list\.txt names it, found No such file"):
        read_bytes(tmp_path / "gone.dat", tmp_path / "list.txt")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFormatError):
        read_bytes(tmp_path / name)
