"""Kernels that several processes need at once are compiled once, whoever dies, and nobody waits forever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("numba")

from auparity.accelerated.numba import compile as compile_module
from auparity.accelerated.numba import fork_safety, linear, specialise, stored, together
from auparity.accelerated.numba.compile import kernel
from auparity.cache import CACHE_VARIABLE, NUMBA_VARIABLE
from auparity.errors import LockHeld
from auparity.models.file_lock import take

ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows cannot fork, nor hand locks on")
TASK = ("linear", "_gram", "<f8:2Cw")
#: Seconds in which a test must end that would hang if what it tests were wrong.
ENOUGH = 800


#: What a process of a team does, but for the list, which is short.
SERVE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from auparity.accelerated.numba import specialise, together
together.lists = lambda: ((%r,), ())
%s
together.serve(int(sys.argv[2]))
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty cache, and a team that is forgotten afterwards."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(NUMBA_VARIABLE, raising=False)
    monkeypatch.delenv(together.INSIDE, raising=False)
    monkeypatch.setattr(together, "lists", lambda: ((TASK,), ()))
    monkeypatch.setattr(together, "usable_processes", lambda: 2)
    worker(monkeypatch, tmp_path, SERVE % (TASK, ""))
    together._team.cache_clear()
    forget, team = together._team.cache_clear, together._team
    yield tmp_path / "cache" / "numba"
    team().end()
    forget()


@pytest.fixture
def here(monkeypatch):
    """Kernels that this process compiled."""
    done, compiled = [], specialise.compiled

    def counted(dispatcher, arguments):
        done.append(dispatcher.py_func.__name__)
        return compiled(dispatcher, arguments)

    monkeypatch.setattr(specialise, "compiled", counted)
    return done


def gram():
    """The kernel of `TASK`, in an object that knows nothing yet."""
    fresh = kernel(linear._gram.py_func)
    np.testing.assert_array_equal(fresh(np.eye(3)), np.eye(3))
    return fresh


def worker(monkeypatch, tmp_path, code):
    """Let the processes of a team run `code` in place of what they do."""
    script = tmp_path / "worker.py"
    script.write_text(code)
    monkeypatch.setattr(together, "_START", f"exec(open({str(script)!r}).read())")


def test_what_is_listed_is_compiled_in_another_process(folder, here):
    gram()
    assert here == []
    assert list(folder.glob("linear._gram.*.lock")) == []


def test_what_somebody_waits_for_is_compiled_first(folder, monkeypatch):
    """One short kernel must not wait for a long list."""
    others = tuple(("fitting", f"_longer_{k}", "f") for k in range(2))
    tasks = (*others, TASK)
    seen = []

    class Team:
        def wait_for(self, find):
            seen.append(together.next_of(tasks))
            raise KeyboardInterrupt

    monkeypatch.setattr(together, "_team", Team)
    folder.mkdir(parents=True, mode=0o700)
    assert together.next_of(tasks) == others[0]
    with pytest.raises(KeyboardInterrupt):
        gram()
    assert seen == [TASK]
    assert together.next_of(tasks) == others[0]
    assert list(folder.iterdir()) == []


def test_what_not_every_run_needs_is_compiled_for_those_who_wait_for_it(folder, monkeypatch):
    other = ("fitting", "_longer", "f")
    seen = []

    class Team:
        def wait_for(self, find):
            seen.append(together.next_of([other], [TASK]))
            seen.append(together.next_of([], [TASK]))
            raise KeyboardInterrupt

    monkeypatch.setattr(together, "_team", Team)
    folder.mkdir(parents=True, mode=0o700)
    assert together.next_of([other], [TASK]) == other
    assert together.next_of([], [TASK]) is None
    with pytest.raises(KeyboardInterrupt):
        gram()
    assert seen == [TASK, TASK]


def test_processes_of_a_team_that_die_leave_the_kernel_to_the_caller(folder, here, monkeypatch, tmp_path):
    worker(monkeypatch, tmp_path, "raise SystemExit(1)")
    gram()
    assert here == ["_gram"]


@pytest.mark.parametrize("error", [OSError("no processes left"), RuntimeError("can't start at interpreter shutdown")])
def test_where_no_process_can_be_started_the_caller_compiles(folder, here, monkeypatch, error):
    def refused(*arguments, **options):
        raise error

    monkeypatch.setattr(subprocess, "Popen", refused)
    gram()
    assert here == ["_gram"]


def test_an_application_that_holds_python_is_not_started_again(folder, here, monkeypatch):
    """Its executable is no interpreter: it would run the whole application."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    gram()
    assert here == ["_gram"]


def test_no_thread_is_needed(folder, here, monkeypatch):
    """None can be started when the interpreter is about to end."""

    def refused(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refused)
    gram()
    assert here == []


def test_a_team_that_does_nothing_is_waited_for_once_and_not_forever(folder, here, monkeypatch, tmp_path):
    worker(monkeypatch, tmp_path, "import time; time.sleep(1000)")
    monkeypatch.setattr(together, "PATIENCE", 0.3)
    gram()
    assert here == ["_gram"]
    team = together._team()
    assert [process.wait(timeout=ENOUGH) for process in team._processes] == 2 * [-9 if os.name == "posix" else 1]
    begin = time.monotonic()
    assert team.wait_for(lambda: None) is None
    assert time.monotonic() - begin < together.PATIENCE


def test_a_team_of_another_process_that_does_nothing_is_not_waited_for_forever(folder, here, monkeypatch):
    monkeypatch.setattr(together, "PATIENCE", 0.3)
    folder.mkdir(parents=True, mode=0o700)
    with take(folder / together.TEAM.format(together.machine()[:16])):
        gram()
    assert here == ["_gram"]
    assert together._team()._processes == []


def test_a_team_that_always_does_something_is_not_waited_for_forever_either(folder, here, monkeypatch):
    states = iter(range(10**9))
    monkeypatch.setattr(together, "_state", lambda: next(states))
    monkeypatch.setattr(together, "MOST_PATIENCE", 0.3)
    folder.mkdir(parents=True, mode=0o700)
    with take(folder / together.TEAM.format(together.machine()[:16])):
        gram()
    assert here == ["_gram"]


def test_a_process_of_the_team_ends_itself_if_a_kernel_takes_too_long(folder, here, monkeypatch, tmp_path):
    """Also while LLVM holds every thread of Python's."""
    if os.name != "posix":
        pytest.skip("needs a function of C that does not come back")
    hang = "import ctypes; specialise.compiled = lambda *_: ctypes.PyDLL(None).pause(); together.PATIENCE = 1.0"
    worker(monkeypatch, tmp_path, SERVE % (TASK, hang))
    gram()
    assert here == ["_gram"]
    assert 1 in [process.wait(timeout=ENOUGH) for process in together._team()._processes]


def test_a_kernel_that_another_process_never_finishes_is_compiled_here(folder, here, monkeypatch):
    monkeypatch.setattr(together, "usable_processes", lambda: 1)  # no team
    monkeypatch.setattr(together, "PATIENCE", 0.3)
    fresh = kernel(linear._gram.py_func)
    path = fresh.entry(TASK[2]).path
    with take(path.with_name(path.name + ".lock")):
        with pytest.raises(LockHeld):
            fresh.made(TASK[2], patience=0.0)
        fresh(np.eye(3))
    assert here == ["_gram"]


def test_where_files_cannot_be_locked_kernels_are_compiled_all_the_same(folder, here, monkeypatch):
    from auparity.errors import AuparityError

    def none(*arguments, **options):
        raise AuparityError("this file system has no locks")

    monkeypatch.setattr(together, "take", none)
    monkeypatch.setattr(stored, "locked", none)
    gram()
    assert here == []
    monkeypatch.setattr(together, "usable_processes", lambda: 1)
    fresh = kernel(linear._gram.py_func)
    np.testing.assert_array_equal(fresh(np.eye(3, dtype=np.float32)), np.eye(3))


#: A process that needs the kernel, and notes what each of its team compiles.
NEEDS = """
import json, os, sys, time
sys.path[:] = json.loads(sys.argv[1])
from auparity.accelerated.numba import linear, specialise, together
compiled = specialise.compiled
def noted(dispatcher, arguments):
    with open({log!r}, "a") as log:
        log.write(f"{{os.getpid()}} begins\\n")
    time.sleep({seconds})
    return compiled(dispatcher, arguments)
specialise.compiled = noted
together.lists = lambda: (({task!r},), ())
together.usable_processes = lambda: {processes}
together.POLL = together.WATCH_PARENT = 0.01
together._START = {start!r}
"""
SERVES = "together.serve(int(sys.argv[2]))"
CALLS = """
import numpy as np
assert linear._gram(np.eye(3)).tolist() == np.eye(3).tolist()
print("finished", flush=True)
"""


@pytest.fixture
def several(folder, tmp_path):
    """Starts processes that need the kernel; gives them and the file of what was compiled."""
    log, worker_script, script = tmp_path / "log", tmp_path / "serves.py", tmp_path / "needs.py"
    log.touch()
    running = []

    def start(number, *, processes=2, seconds=0.0):
        words = {"log": str(log), "seconds": seconds, "task": TASK, "processes": processes}
        begin = NEEDS.format(start=f"exec(open({str(worker_script)!r}).read())", **words)
        worker_script.write_text(begin + SERVES)
        script.write_text(begin + CALLS)
        import json

        for _ in range(number):
            command = [sys.executable, str(script), json.dumps(sys.path)]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return running, log

    yield start
    for process in running:
        with suppress(OSError):
            process.kill()
        process.communicate()


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_that_start_together_compile_a_kernel_once(several, processes):
    """In a team, and where each has one core, and compiles by itself."""
    running, log = several(3, processes=processes, seconds=0.5)
    assert [process.communicate(timeout=ENOUGH)[0] for process in running] == 3 * ["finished\n"]
    assert len(log.read_text().splitlines()) == 1


def first_line(log):
    """The process that compiles first."""
    deadline = time.monotonic() + ENOUGH
    while not (text := log.read_text()).endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(text.split()[0])


@ON_POSIX
def test_if_the_process_that_compiles_is_killed_another_does_it(several):
    running, log = several(2, seconds=2.0)
    os.kill(first_line(log), signal.SIGKILL)
    assert [process.communicate(timeout=ENOUGH)[0] for process in running] == 2 * ["finished\n"]
    assert len(log.read_text().splitlines()) == 2


@ON_POSIX
def test_if_the_process_that_started_the_team_is_killed_another_starts_one(several):
    running, log = several(1, seconds=2.0)
    at_work = first_line(log)
    several(1, seconds=0.0)
    running[0].kill()
    assert running[1].communicate(timeout=ENOUGH)[0] == "finished\n"
    lines = [int(line.split()[0]) for line in log.read_text().splitlines()]
    assert lines[0] == at_work
    assert len(lines) == 2
    deadline = time.monotonic() + ENOUGH
    while is_running(at_work):  # the first team ends with its parent
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def in_a_fork(code):
    """Exit status of a forked process that runs `code`; it is killed if it hangs."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if code() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + ENOUGH
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@ON_POSIX
def test_a_forked_process_has_a_team_of_its_own_and_leaves_its_parents_alone(folder, monkeypatch, tmp_path):
    worker(monkeypatch, tmp_path, "import time; time.sleep(1000)")
    parents = together._team()
    monkeypatch.setattr(together, "PATIENCE", 0.2)
    waiting = threading.Thread(target=parents.wait_for, args=(lambda: None if not over.is_set() else "code",))
    over = threading.Event()
    monkeypatch.setattr(together, "PATIENCE", ENOUGH)
    waiting.start()
    while not parents._processes:
        time.sleep(0.01)

    def child():
        parents.end()  # as at its exit
        together.PATIENCE = 0.2
        return together._team() is not parents and gram()

    assert in_a_fork(child) == 0
    assert all(process.poll() is None for process in parents._processes)
    over.set()
    waiting.join()


@ON_POSIX
def test_a_process_forked_while_a_kernel_is_compiled_can_compile_and_load(folder, monkeypatch):
    """A fork waits for LLVM, and forgets that another thread waits for this very kernel."""
    monkeypatch.setattr(together, "usable_processes", lambda: 1)
    begun, go_on, compiled = threading.Event(), threading.Event(), specialise.compiled

    def slow(dispatcher, arguments):
        begun.set()
        go_on.wait(ENOUGH)
        return compiled(dispatcher, arguments)

    monkeypatch.setattr(specialise, "compiled", slow)
    fresh = kernel(linear._gram.py_func)
    compiling = threading.Thread(target=fresh, args=(np.eye(3),))
    compiling.start()
    assert begun.wait(ENOUGH)
    threading.Timer(0.3, go_on.set).start()

    def child():
        return fresh(np.eye(3)).shape == (3, 3) and fresh(np.eye(3, dtype=np.float32)).shape == (3, 3)

    assert in_a_fork(child) == 0
    compiling.join()


@ON_POSIX
def test_a_fork_does_not_wait_forever(folder, monkeypatch):
    monkeypatch.setattr(fork_safety, "FORK_PATIENCE", 0.2)
    over, held = threading.Event(), threading.Event()

    def hold():
        with fork_safety.using_llvm():
            held.set()
            over.wait(ENOUGH)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(ENOUGH)

    def child():
        with fork_safety.using_llvm():
            return True

    assert in_a_fork(child) == 0
    over.set()
    holding.join()
    with fork_safety.using_llvm():  # and nobody holds it in this process
        assert compile_module.using_llvm is fork_safety.using_llvm
