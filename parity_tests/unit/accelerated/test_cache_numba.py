"""What is kept of compiled kernels: used where it is whole, ours and of the same sources; else compiled again."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

pytest.importorskip("numba")

from auparity.accelerated.numba import compile as compile_module
from auparity.accelerated.numba import specialise, stored, together
from auparity.accelerated.numba.arguments import key_of, of_key
from auparity.accelerated.numba.compile import constants_hash, kernel, sources_hash
from auparity.accelerated.numba.stored import MAGIC
from auparity.accelerated.pipeline import Pipeline
from auparity.cache import CACHE_VARIABLE, NUMBA_VARIABLE
from auparity.errors import AuparityWarning
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.options import PipelineOptions

FACTOR = 2.0


def twice(x):
    return FACTOR * x


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(NUMBA_VARIABLE, raising=False)
    return tmp_path / "numba"


@pytest.fixture
def compilations(monkeypatch):
    """Kernels that were compiled."""
    done, compiled = [], specialise.compiled

    def counted(dispatcher, arguments):
        done.append(dispatcher.py_func.__name__)
        return compiled(dispatcher, arguments)

    monkeypatch.setattr(specialise, "compiled", counted)
    return done


def run():
    """The kernel, in an object that knows nothing yet."""
    fresh = kernel(twice)
    assert fresh(3.0) == 6.0
    return fresh


def entry_of(folder):
    (entry,) = folder.glob("test_cache_numba.twice.*")
    return entry


def test_a_kernel_is_compiled_once_and_kept(folder, compilations):
    run()
    assert entry_of(folder).stat().st_mode & 0o077 == 0 or not hasattr(os, "getuid")
    run()
    assert compilations == ["twice"]


def damage(kind, content):
    return {
        "empty": b"",
        "truncated": content[:-1],
        "half": content[: len(content) // 2],
        "a head alone": content[: len(MAGIC)],
        "one bit": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "one bit of the hash": content[: len(MAGIC)] + bytes([content[len(MAGIC)] ^ 1]) + content[len(MAGIC) + 1 :],
        "garbage": os.urandom(len(content)),
        "garbage behind a head": MAGIC + os.urandom(5000),
        "another layout": b"auparity kernel 0\n" + content[len(MAGIC) :],
        "more": content + b"x",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["empty", "truncated", "half", "a head alone", "one bit", "one bit of the hash", "garbage",
     "garbage behind a head", "another layout", "more"],
)  # fmt: skip
def test_a_damaged_entry_is_compiled_again_and_replaced(folder, compilations, kind):
    run()
    entry = entry_of(folder)
    entry.write_bytes(damage(kind, entry.read_bytes()))
    run()
    run()
    assert len(compilations) == 2


def test_code_that_others_could_have_written_is_not_even_read(folder, compilations):
    if not hasattr(os, "getuid"):
        pytest.skip("Windows has no such modes")
    run()
    entry = entry_of(folder)
    entry.chmod(0o666)
    run()
    assert len(compilations) == 2
    assert entry.stat().st_mode & 0o777 == 0o600
    if os.getuid() == 0:
        os.chown(entry, 12345, 12345)
        run()
        assert len(compilations) == 3


def test_an_entry_of_another_kernel_under_the_same_name_is_not_taken(folder):
    code, one, other = stored.Code(b"code", "wrapper", "own", {}), stored.Entry("name", "a"), stored.Entry("name", "b")
    stored.keep(one, code)
    assert stored.find(one) == code
    assert stored.find(other) is None
    os.rename(one.path, other.path)
    assert stored.find(other) is None


@pytest.mark.parametrize("what", ["sources", "constant", "version", "what Numba is told"])
def test_what_the_code_depends_on_is_part_of_its_key(folder, monkeypatch, compilations, what):
    run()
    if what == "sources":
        monkeypatch.setattr(compile_module, "sources_hash", lambda *_: "others")
    elif what == "version":
        monkeypatch.setattr(compile_module, "machine", lambda: "another LLVM")
    elif what == "what Numba is told":
        before = compile_module.machine()
        compile_module.machine.cache_clear()
        monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
        assert compile_module.machine() != before
        compile_module.machine.cache_clear()
        return
    else:
        monkeypatch.setitem(globals(), "FACTOR", 3.0)
        assert kernel(twice)(3.0) == 9.0
        return
    run()
    assert len(compilations) == 2


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_CACHE_DIR"])
def test_what_leaves_the_code_as_it_is_is_no_part_of_the_key(monkeypatch, name):
    """Ray's actors are told to use one thread, and must find the kernels of the command that started them."""
    before = compile_module.machine()
    monkeypatch.setenv(name, "1")
    compile_module.machine.cache_clear()
    assert compile_module.machine() == before


def test_options_that_are_sets_have_one_key_in_every_process(folder):
    """Python orders a set of words differently in each process."""
    assert kernel(twice, fastmath={"reassoc", "nsz"}).entry("f") == kernel(twice, fastmath={"nsz", "reassoc"}).entry(
        "f"
    )


KERNELS = """
import numpy as np
from auparity.accelerated.numba.compile import kernel

@kernel
def scaled(values, factor):
    out = np.empty(values.shape, np.float32)
    for i in range(values.shape[0]):
        out[i] = values[i] * factor
    return out, out.shape[0]

@kernel
def room(count):
    return np.empty(count, np.float32)
"""
ALONE = """
import sys
import numpy as np
from small_kernels import room, scaled
values, count = scaled(np.arange(4, dtype=np.float32), 2.0)
assert values.tolist() == [0, 2, 4, 6] and count == 4
assert room(3).shape == (3,)
print([name for name in ("numba", "scipy") if name in sys.modules])
try:
    room(-1)
except ValueError as error:
    print(error)
import numba
assert numba.njit(lambda x: x + 1)(1) == 2
assert scaled(np.ones(2, np.float32), 3.0)[0].tolist() == [3, 3]
"""


def test_kept_kernels_run_without_numba_which_can_be_imported_later(folder, tmp_path):
    """Arrays and tuples that they return, and exceptions that they raise, as well."""
    (tmp_path / "small_kernels.py").write_text(KERNELS)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    runs = [
        subprocess.run(
            [sys.executable, "-c", ALONE], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[-1].stderr
    assert runs[1].stdout.splitlines() == ["[]", "negative dimensions not allowed"]


def test_constants_of_called_kernels_closures_and_modules_count():
    module = types.ModuleType("module")
    module.LIMIT = 5

    def hash_of(inner_factor, limit, held):
        module.LIMIT = limit
        names = {"INNER": inner_factor, "module": module, "kernel": kernel}
        exec("@kernel\ndef inner(x):\n    return INNER * x", names)
        exec("def outer(x):\n    return inner(x) + module.LIMIT", names)
        captured = held

        def closure(x):
            return captured + x

        return constants_hash(names["outer"]), constants_hash(closure)

    base = hash_of(1.0, 5, 7)
    assert hash_of(1.0, 5, 7) == base
    assert hash_of(2.0, 5, 7)[0] != base[0]
    assert hash_of(1.0, 6, 7)[0] != base[0]
    assert hash_of(1.0, 5, 8)[1] != base[1]


def test_a_full_disk_costs_the_next_start_and_not_this_run(folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "write_own", full)
    stored._warn_unsaved.cache_clear()
    with pytest.warns(UserWarning, match="No space left"):
        run()


def test_without_a_cache_kernels_are_compiled_for_this_run(monkeypatch, compilations):
    monkeypatch.setattr(stored, "kernels_folder", lambda: None)
    run()
    run()
    assert len(compilations) == 2


def test_the_hash_of_the_sources_covers_this_folder():
    assert len(sources_hash()) == 64


def test_many_threads_that_need_one_kernel_compile_it_once(folder, compilations):
    fresh, results = kernel(twice), []
    threads = [threading.Thread(target=lambda: results.append(fresh(4.0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == 8 * [8.0]
    assert compilations == ["twice"]


def arrays():
    """One array of each kind of types."""
    whole = np.zeros((3, 4), np.float32)
    locked, odd = whole.copy(), np.zeros(13, np.uint8)[1:].view(np.float32)
    locked.flags.writeable = False
    return [
        whole, locked, whole.T, whole[:, ::2], whole[0], odd, whole.astype(np.float64), whole.astype(np.uint8),
        np.zeros(3, bool), np.zeros((2, 3, 4, 5), np.int64), np.zeros(2, np.uint16),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(11))
def test_a_key_says_all_that_tells_types_apart(number):
    argument = arrays()[number]
    assert key_of(of_key(key_of((argument,)))) == key_of((argument,))
    assert key_of((argument,)) not in [key_of((other,)) for k, other in enumerate(arrays()) if k != number]


def test_numbers_have_keys_of_their_own():
    arguments = (True, 3, 2.5, np.float32(1), np.uint8(2))
    assert key_of(arguments) == "b i f <f4 |u1"
    assert key_of(of_key("b i f <f4 |u1")) == "b i f <f4 |u1"
    assert key_of((np.bool_(True), np.int64(3), np.float64(2.5))) == "b i f"


def kind_of(x):
    return x.size


def test_a_call_takes_the_specialisation_of_its_types_alone(folder):
    """Also for arrays of NumPy's subclasses, of other integer types of one size, and of other byte orders."""
    fresh = kernel(kind_of)
    for array in arrays():
        assert fresh(array) == array.size
    assert len(fresh.specialisations) == len(arrays())
    assert fresh(np.zeros((3, 4), np.float32).view(np.matrix)) == 12
    assert fresh(np.zeros((2, 3, 4, 5), np.longlong)) == 120
    assert len(fresh.specialisations) == len(arrays())


def test_arguments_that_are_no_arrays_or_numbers_are_refused(folder):
    with pytest.raises(TypeError, match="list"):
        kernel(kind_of)([1, 2])


@pytest.mark.parametrize("networks", [True, False])
def test_the_first_clip_and_image_need_no_kernel_that_is_not_listed(networks):
    """If this fails, add the lines that it names to accelerated/numba/first_kernels.txt."""
    pipeline = Pipeline.best(Bundle.embedded(networks=networks), PipelineOptions(device="cpu"))
    image = next(iter(render_clip(1, n_frames=1))).image
    before = specialised()
    pipeline.start_video().process_frame(image, 0.0)
    pipeline.process_image(image)
    assert compile_module._warn_unknown.cache_info().currsize == 0, "this Numba is not the one that is known"
    missing = specialised() - before - set(together.listed())
    assert not missing, "\n".join(" ".join(task) for task in sorted(missing))


def specialised():
    """Module and name of every kernel, with each types it was called with."""
    kernels = [each for each in gc.get_objects() if isinstance(each, compile_module.Kernel)]
    of_ours = [each for each in kernels if each.py_func.__module__.startswith("auparity.accelerated.numba.")]
    return {
        (each.py_func.__module__.rpartition(".")[2], each.py_func.__name__, key)
        for each in of_ours
        for key in each.specialisations
    }


@pytest.mark.parametrize("part", ["compiling", "loading"])
def test_with_a_numba_that_is_otherwise_kernels_are_called_as_numba_calls_them(folder, monkeypatch, part):
    def unknown(*arguments):
        raise AttributeError("no such part")

    compile_module._warn_unknown.cache_clear()
    if part == "compiling":
        monkeypatch.setattr(specialise, "compiled", unknown)
    else:
        monkeypatch.setattr(stored, "python_function_of", unknown)
    fresh = kernel(twice)
    with pytest.warns(AuparityWarning, match="compiled anew in every process"):
        assert fresh(3.0) == 6.0
    assert fresh(np.full(3, 2.0)).tolist() == [4.0] * 3
    assert fresh(4.0) == 8.0
    compile_module._warn_unknown.cache_clear()


def test_a_kernel_of_another_folder_depends_on_the_sources_there(tmp_path):
    source = tmp_path / "loops.py"
    source.write_text("a = 1\n")
    first = sources_hash(tmp_path)
    sources_hash.cache_clear()
    source.write_text("a = 2\n")
    assert sources_hash(tmp_path) != first
    assert sources_hash() != sources_hash(tmp_path)
