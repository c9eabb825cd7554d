"""State dicts of PyTorch are read in both formats; a file that would run code, or take more than it has, is refused."""

from __future__ import annotations

import collections
import hashlib
import os
import pickle
import zipfile

import numpy as np
import pytest

from auparity.errors import ModelFormatError
from auparity.models.formats import torch_pickle
from auparity.models.formats.torch_file import parse_torch, read_torch
from auparity.parity_tests.unit.helpers import torch_files as made

RNG = np.random.default_rng(1)
ARRAYS = {
    "body.0.weight": RNG.standard_normal((2, 3, 3, 3)).astype(np.float32),
    "body.1.running_var": RNG.random(2).astype(np.float64),
    "body.1.num_batches_tracked": np.array(7, np.int64),
    "half": np.array([0.5, -2], np.float16),
}
FORMATS = {"zip": made.new_file, "before 1.6": made.old_file}


def same(found, wanted):
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array), name
        assert not found[name].flags.writeable


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_names_types_and_values_are_those_of_the_file(write, tmp_path):
    (tmp_path / "w.pth").write_bytes(write(ARRAYS))
    read = read_torch(tmp_path / "w.pth")
    same(read.arrays, ARRAYS)
    assert read.sha256 == hashlib.sha256(write(ARRAYS)).hexdigest()


@pytest.mark.parametrize("wrapper", ["state_dict", "net"])
def test_wrappers_and_the_prefix_of_data_parallel_are_taken_off(wrapper):
    prefixed = made.tensors({f"module.{name}": array for name, array in ARRAYS.items()})
    value = made.dictionary({"epoch": made.whole(3), "losses": b"(G?\xe0\0\0\0\0\0\0Nl", wrapper: prefixed})
    same(parse_torch(made.zip_file(value, made.blocks_of(ARRAYS)), "w").arrays, ARRAYS)


def test_a_prefix_of_some_names_is_a_part_of_them():
    arrays = {"module.a": np.ones(1, np.float32), "b": np.ones(1, np.float32)}
    assert list(parse_torch(made.new_file(arrays), "w").arrays) == ["module.a", "b"]


def test_tensors_are_views_of_their_storage():
    """A transposed one, and one that begins in the middle."""
    numbers = np.arange(12, dtype=np.float32)
    value = made.dictionary(
        {"t": made.tensor("0", "f4", 12, (3, 2), (1, 3)), "part": made.tensor("0", "f4", 12, (2,), (4,), offset=5)}
    )
    arrays = parse_torch(made.zip_file(value, {"0": numbers.tobytes()}), "w").arrays
    assert np.array_equal(arrays["t"], numbers[:6].reshape(2, 3).T)
    assert arrays["part"].tolist() == [5, 9]


def test_what_pytorch_writes_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    wanted = {name: value.numpy() for name, value in net.state_dict().items()}
    content = {"net": net.state_dict(), "epoch": 3, "best": 0.5, "names": ["a", None, True]}
    for new in (True, False):
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
        same(read_torch(tmp_path / "w.pth").arrays, wanted)
    torch.save({"a": torch.nn.Parameter(torch.ones(2, 2)), "b": torch.tensor([1.5, -3e38]).bfloat16()}, tmp_path / "p")
    arrays = read_torch(tmp_path / "p").arrays
    assert arrays["a"].tolist() == [[1, 1], [1, 1]]
    assert np.array_equal(arrays["b"], torch.tensor([1.5, -3e38]).bfloat16().float().numpy())


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def run(module: str, attribute: str, *arguments: bytes) -> bytes:
    return made.name(module, attribute) + made.tuple_of(*arguments) + b"R"


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_refused_and_does_not_run(protocol, tmp_path):
    mark = tmp_path / "ran"
    code = pickle.dumps({"state_dict": Runs(mark)}, protocol)
    for data in (_zip_of(code), _legacy_of(code)):
        with pytest.raises(ModelFormatError):
            parse_torch(data, "w")
    assert not mark.exists()
    pickle.loads(code)
    assert mark.exists()  # it would have run


def _zip_of(code: bytes) -> bytes:
    return made.zip_file(code[2:-1] if code.startswith(b"\x80") else code[:-1], {})


def _legacy_of(code: bytes) -> bytes:
    whole = made.legacy_file(b"N", {})
    return whole.replace(made.whole_pickle(b"N"), code)


@pytest.mark.parametrize(
    "value",
    [
        run("os", "system", made.text("true")),
        run("builtins", "eval", made.text("1")),
        run("torch.hub", "load", made.text("x")),
        run("numpy.core.multiarray", "_reconstruct", b"N"),
        run("collections", "OrderedDict", made.name("torch", "FloatStorage")),
        made.text("os") + made.text("system") + b"\x93" + b")R",
        made.text("torch") + made.text("load") + b"\x93",
        b"cos\nsystem\n",
        b"}c__builtin__\nobject\nb",
        b")\x81",
        b"(ios\nsystem\n",
        b"\x82\x01",
        made.text("anything") + b"Q",
        b"Panything\n",
    ],
    ids=[
        "system", "eval", "hub", "numpy", "a class in a dictionary", "a name from the stack", "torch.load", "no call",
        "an object", "a new object", "an instance", "an extension", "another reference", "a text reference",
    ],
)  # fmt: skip
def test_every_name_but_those_of_tensors_is_refused(value):
    with pytest.raises(ModelFormatError, match=r"plain values|build tensors|a storage"):
        parse_torch(made.zip_file(made.dictionary({"state_dict": value}), {}), "w")


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2**40, 2**40), (2**40, 1), 0),
        ((13,), (1,), 0),
        ((4, 4), (1, 0), 0),
        ((2,), (12,), 0),
        ((2,), (-1,), 5),
        ((-2,), (1,), 0),
        ((1,), (1,), 12),
        ((1,), (1,), -1),
        ((1,) * 9, (1,) * 9, 0),
        ((2, 2), (1,), 0),
        ((2**70,), (1,), 0),
    ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(shape, strides, offset):
    value = made.dictionary({"a": made.tensor("0", "f4", 12, shape, strides, offset)})
    with pytest.raises(ModelFormatError):
        parse_torch(made.zip_file(value, {"0": bytes(48)}), "w")


def test_strides_of_axes_of_one_entry_mean_nothing():
    value = made.dictionary({"a": made.tensor("0", "f4", 12, (1, 12), (2**61, 1))})
    assert parse_torch(made.zip_file(value, {"0": bytes(48)}), "w").arrays["a"].shape == (1, 12)


def test_a_zip_bomb_is_refused_before_it_is_inflated(monkeypatch):
    value = made.dictionary({"a": made.tensor("0", "f4", 2**24, (2**24,), (1,))})
    bomb = made.zip_file(value, {"0": bytes(2**26)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**17
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("a member was inflated"))
    with pytest.raises(ModelFormatError, match="no larger than the file"):
        parse_torch(bomb, "w")
    compressed = made.zip_file(made.dictionary({}), {"0": RNG.bytes(100)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFormatError, match="stored as they are"):
        parse_torch(compressed, "w")


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "large.pth").open("wb") as file:
        file.truncate(2**31 + 1)  # takes no space
    with pytest.raises(ModelFormatError, match="at most"):
        read_torch(tmp_path / "large.pth")


def test_a_pickle_that_would_build_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(torch_pickle, "MAX_PICKLE", 1000)
    with pytest.raises(ModelFormatError, match="longer one"):
        parse_torch(made.zip_file(b"}" * 2000, {}), "w")


def test_values_that_hold_each_other_end():
    """Sixty tuples, each of the one before twice: 2**60 values for whoever compares or counts them."""
    doubled = b")" + b"q\x00h\x00\x86" * 60
    plain = made.dictionary({"state_dict": made.tensors(ARRAYS), "other": doubled})
    same(parse_torch(made.zip_file(plain, made.blocks_of(ARRAYS)), "w").arrays, ARRAYS)
    blocks = {str(k): (array.size, array.tobytes()) for k, array in enumerate(ARRAYS.values())}
    old = made.dictionary({"state_dict": made.tensors(ARRAYS, legacy=True), "other": doubled})
    same(parse_torch(made.legacy_file(old, blocks), "w").arrays, ARRAYS)
    with pytest.raises(ModelFormatError, match="keys"):
        parse_torch(made.zip_file(b"}" + doubled + b"Ns", {}), "w")
    with pytest.raises(ModelFormatError, match="dictionary of tensors"):
        parse_torch(made.zip_file(doubled, {}), "w")


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_a_truncated_file_is_refused_wherever_it_ends(write):
    data = write(ARRAYS)
    for end in [*range(0, len(data), 37), len(data) - 1]:
        with pytest.raises(ModelFormatError):
            parse_torch(data[:end], "w")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (made.zip_file(b"N", {}), "dictionary of tensors"),
        (made.zip_file(made.dictionary({}), {}), "dictionary of tensors"),
        (made.zip_file(made.dictionary({"a": made.whole(1)}), {}), "dictionary of tensors"),
        (made.zip_file(made.tensors(ARRAYS), {}), "numbers of storage"),
        (made.zip_file(made.tensors(ARRAYS), {**made.blocks_of(ARRAYS), "1": b"1234"}), "numbers of 8 bytes"),
        (made.legacy_file(b"N", {"0": (1, b"1234")}), "a tensor of each storage"),
        (pickle.dumps(made.MAGIC + 1, 2), "PyTorch wrote"),
        (pickle.dumps(made.MAGIC, 2) + pickle.dumps(1000, 2) + pickle.dumps(0, 2) * 3, "the format 1001"),
        (b"", "PyTorch wrote"),
        (b"PK\x03\x04" + bytes(100), "a zip file"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_the_reason(data, why):
    with pytest.raises(ModelFormatError, match=why):
        parse_torch(data, "w")


def test_a_missing_file_is_an_error_of_ours(tmp_path):
    with pytest.raises(ModelFormatError, match="readable file"):
        read_torch(tmp_path / "no.pth")


def test_attributes_of_an_ordered_dict_are_left_out():
    """PyTorch keeps `_metadata` there."""
    saved = collections.OrderedDict(x=1)
    saved._metadata = {"": {"version": 1}}
    assert b"_metadata" in pickle.dumps(saved, 2)
    value = made.tensors(ARRAYS) + b"}" + made.text("_metadata") + b"}sb"
    same(parse_torch(made.zip_file(value, made.blocks_of(ARRAYS)), "w").arrays, ARRAYS)
