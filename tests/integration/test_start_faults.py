# SPDX-License-Identifier: Apache-2.0
"""Starts in which something is refused: the n-th allocation of memory and the n-th system call, for every n. A start
ends with a status and a sentence, or it works; it never crashes or hangs, and leaves a store that the next start takes
up. The same with the first client of an agent, and for programs of the host.

Allocations fail by tests/testlib/failing_malloc.c, which the program under test is started with; system calls by
tests/testlib/failing_calls.c, which starts it. That one works in the kernel's entry, not in the C library, so it
reaches io_uring's calls and those that the C library makes for itself. What a ring does on its own (reads and writes
of objects) is no system call: there the twins of the ops tables fail, in tests/unit/sweep.

Each sweep counts what a clean run takes and then fails one after the other. A run of all tests takes a sample, drawn
by a seed that is printed with a failure:

    BLUECACHE_FAULT_RUNS=all        every n; or a number: so many of each sweep
    BLUECACHE_FAULT_SEED=NUMBER     the same sample once more"""

import errno
import fcntl
import os
import random
import re
import subprocess

import pytest

from agent import BUILD, Agent, AgentEnded, way_to
from bluecache_client import OK, Client
from nixl_client import pattern
from test_faults import files_below, gauges, settles_to

pytestmark = pytest.mark.once

MALLOC = BUILD / "tests" / "testlib" / "failing_malloc.so"
CALLS = BUILD / "tests" / "testlib" / "failing_calls"
TOOL = BUILD / "tools" / "bluecache"
EXAMPLE = BUILD / "examples" / "standalone" / "standalone"
SEED = int(os.environ.get("BLUECACHE_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
RUNS = os.environ.get("BLUECACHE_FAULT_RUNS", "")

RUN_SECONDS = 20
LENGTH = 300001
OPTIONS = {"dram": {"memory_mb": 16}, "posix": {"memory_mb": 16, "options": ["--no-huge-pages"]}}


class Share:
    """Of the runs over TCP, which the default over Comch is: most of a start is the same."""

    part = 1


@pytest.fixture(autouse=True)
def share(transport):
    Share.part = 4 if transport == "comch" else 1


def sample(what, items, runs):
    """What one run of the sweep takes: all, or `runs` of them, always with the first and the last."""
    items = list(items)
    runs = len(items) if RUNS == "all" else int(RUNS or runs // Share.part)
    assert items, "the clean run counted nothing for %s" % what
    if runs < len(items):
        some = random.Random("%d %s" % (SEED, what)).sample(range(len(items)), runs)
        items = [items[i] for i in sorted({0, len(items) - 1, *some})]
    print("%s: %d runs; BLUECACHE_FAULT_SEED=%d" % (what, len(items), SEED))
    return items


def run(command, environment):
    """(exit status, all it said). A program that hangs is killed, and the test fails."""
    ended = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=RUN_SECONDS, check=False)
    return ended.returncode, ended.stdout.decode(errors="replace")


def check_start(status, text, what):
    """It worked, or says why not."""
    assert status in (0, 1), "%s: status %d\n%s" % (what, status, text)
    if status == 1:
        assert re.search(r"Z ERROR \S+ +\S|^dpu_dma_copy: \S", text, re.M), "%s: no reason is given\n%s" % (what, text)


def check_root(agent):
    """Nobody holds it."""
    with open(agent.root / "LOCK", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def push_before(line):
    client = Client()
    assert client.push("before", pattern(1, LENGTH)) == OK
    assert client.close() == 0


def push_and_pull(line, kept):
    """In an agent where nothing fails any more, all works."""
    client = Client()
    if kept:
        assert client.pull("before", LENGTH) == (OK, pattern(1, LENGTH))
    assert client.push("after", pattern(2, LENGTH)) == OK
    assert client.pull("after", LENGTH) == (OK, pattern(2, LENGTH))
    assert client.close() == 0


def push_and_pull_if_possible(line, kept):
    """While something fails: a client is refused, or has a status for everything, and right bytes where that is
    OK. Returns how far it came."""
    try:
        client = Client(timeout_ms=5000)
    except AssertionError:
        return "refused"
    try:
        pushed = client.push("during", pattern(3, LENGTH))
        pulled, data = client.pull("during", LENGTH)
        found, before = client.pull("before", LENGTH)
    except AssertionError:
        return "refused in the middle"
    assert pulled != OK or data == pattern(3, LENGTH)
    assert found != OK or before == pattern(1, LENGTH)
    return "served" if pushed == OK == pulled and (found == OK or not kept) else "told"


def failing_agent(agent, environment):
    """The command for a start that ends by itself, and its environment."""
    return [*agent.command, *agent.listening(), "--preflight"], dict(agent.environment, **environment)


def start_alone(agent):
    """The command for a start whose last step fails, which counts what a start does, and nothing that only preflight
    looks at; its environment."""
    command, environment = failing_agent(agent, {})
    wrong = ["--listen", "192.0.2.1:0"] if "-T" in command else ["--rep", "0000:77:00.0"]
    return [word for word in command if word != "--preflight"] + wrong, environment


@pytest.fixture
def store(make_agent, run_client, backend):
    """An agent that is not running, and an object in its store if it keeps any."""
    agent = make_agent(backend=backend, workers=2, **OPTIONS[backend])
    agent.kept = backend == "posix"
    run_client(agent.address, push_before)
    agent.clean = gauges(agent)
    agent.stop()
    yield agent
    if agent.process is None:
        agent.start()
        run_client(agent.address, push_and_pull, agent.kept)
        agent.stop()
        if agent.kept:
            check_root(agent)
            assert files_below(agent.root / "tmp") == []


# --- memory ---


def allocations(fail, count_file=None):
    if not MALLOC.exists():
        pytest.skip("%s is not built (sanitizers have an allocator of their own)" % MALLOC)
    environment = {"LD_PRELOAD": str(MALLOC), "BLUECACHE_TEST_ALLOC_FAIL": str(fail)}
    if count_file is not None:
        environment["BLUECACHE_TEST_ALLOC_COUNT"] = str(count_file)
    return environment


def count_allocations(tmp_path, command, environment, ends=0):
    path = tmp_path / "allocations"
    status, text = run(command, dict(environment, **allocations(0, path)))
    assert status == ends, text
    return int(path.read_text())


@pytest.mark.parametrize("behind, runs", [("", 150), ("+", 60)], ids=["one", "all from then on"])
def test_agent_start_without_memory(store, tmp_path, behind, runs):
    command, environment = failing_agent(store, {})
    count = count_allocations(tmp_path, command, environment)
    failed = 0
    for n in sample("allocations of the agent", range(1, count + 1), runs):
        status, text = run(command, dict(environment, **allocations("%d%s" % (n, behind))))
        check_start(status, text, "allocation %d%s of %d" % (n, behind, count))
        failed += status
        if store.kept:
            check_root(store)
    assert failed > 0


def serve_while_failing(agent, run_client, environment, what):
    """One life of the agent in which something fails. Returns what became of it."""
    clean, agent.address = agent.environment, None
    agent.environment = dict(clean, **environment)
    begin = len(agent.log())
    try:
        agent.start()
    except AgentEnded as ended:
        assert str(ended).endswith("status 1"), what
        check_start(1, agent.log()[begin:], what)
        return "not started"
    finally:
        agent.environment = clean
    # What failed for nobody yet, since the first client came less far than in the clean run, does so for the second.
    result = run_client(agent.address, push_and_pull_if_possible, agent.kept)
    run_client(agent.address, push_and_pull_if_possible, agent.kept)
    # An object whose record could not be read is there again in the next life.
    unread = "they are left alone, and their objects are not found" in agent.log()[begin:]
    run_client(agent.address, push_and_pull, agent.kept and not unread)
    if agent.kept:
        settles_to(agent, agent.clean)
    agent.stop()
    return result


def count_life(agent, run_client, environment):
    """A clean one: it starts, serves one client, ends."""
    clean, agent.environment = agent.environment, dict(agent.environment, **environment)
    agent.start()
    agent.environment = clean
    assert run_client(agent.address, push_and_pull_if_possible, agent.kept) == "served"
    agent.stop()


def test_agent_serves_or_refuses_without_memory(store, run_client, tmp_path):
    start = count_allocations(tmp_path, *start_alone(store), ends=1)
    path = tmp_path / "allocations"
    count_life(store, run_client, allocations(0, path))
    count = int(path.read_text())
    results = {}
    # Those of the start alone are gone through above. Those of a client's greeting are few, and always taken.
    greeting = range(start, start + 12)
    for n in [*greeting, *sample("allocations of a life", range(start + 12, count + 1), 6)]:
        what = "allocation %d of %d" % (n, count)
        result = serve_while_failing(store, run_client, allocations(n), what)
        results[result] = results.get(result, 0) + 1
    print(results)
    assert results.get("refused", 0) > 0


@pytest.mark.parametrize("program, runs", [
    ([TOOL, "ping"], 60), ([TOOL, "push", "tool/%d" % LENGTH], 60), ([EXAMPLE], 100),
], ids=["ping", "push", "library"])
def test_client_start_without_memory(make_agent, run_client, tmp_path, world, program, runs):
    agent = make_agent(backend="dram", workers=2, memory_mb=64)
    environment = dict(agent.environment, **way_to(agent.address))
    command = [str(word) for word in program]
    if "push" in command:
        (tmp_path / "file").write_bytes(pattern(4, LENGTH))
        command += [str(tmp_path / "file")]
    count = count_allocations(tmp_path, command, environment)
    before = gauges(agent)
    for n in sample("allocations of %s" % " ".join(command), range(1, count + 1), runs):
        status, text = run(command, dict(environment, **allocations(n)))
        assert status in (0, 1, 2, 3), "allocation %d of %d: status %d\n%s" % (n, count, status, text)
        assert status == 0 or text.strip(), "allocation %d of %d: status %d, and no reason" % (n, count, status)
        settles_to(agent, {**before, "bluecache_staging_free_bytes": gauges(agent)["bluecache_staging_free_bytes"]})
    run_client(agent.address, push_and_pull, False)


# --- system calls ---

# What each can end with on a machine that has no room, or does not permit it. futex and what gives memory back are
# left out: there a failure would be a broken kernel.
ERRORS = {
    "openat": "ENOENT EMFILE EACCES", "read": "EIO EINTR", "pread64": "EIO EINTR", "write": "EIO EINTR",
    "pwrite64": "EIO ENOSPC EINTR", "fsync": "EIO", "fdatasync": "EIO", "ftruncate": "EIO ENOSPC",
    "fallocate": "ENOSPC", "flock": "EWOULDBLOCK ENOLCK", "fcntl": "EINVAL", "mkdir": "EACCES ENOSPC",
    "mkdirat": "EACCES ENOSPC", "renameat": "EIO", "renameat2": "EIO", "linkat": "EIO", "unlinkat": "EIO",
    "getdents64": "EIO ENOMEM", "statfs": "EIO", "fstatfs": "EIO", "newfstatat": "EACCES EIO",
    "mmap": "ENOMEM", "mprotect": "ENOMEM", "madvise": "EINVAL", "memfd_create": "EMFILE",
    "io_uring_setup": "ENOMEM ENOSYS EPERM", "io_uring_enter": "EINTR EAGAIN EBUSY",
    "eventfd2": "EMFILE", "timerfd_create": "EMFILE", "clone3": "EAGAIN",
    "socket": "EMFILE", "bind": "EADDRINUSE EACCES", "listen": "EADDRINUSE", "setsockopt": "ENOPROTOOPT",
    "getsockopt": "ENOBUFS", "getsockname": "ENOBUFS", "getpeername": "ENOTCONN", "connect": "ECONNREFUSED EINTR",
    "accept4": "EMFILE ECONNABORTED EINTR", "recvfrom": "EINTR ECONNRESET", "sendto": "EINTR EPIPE",
    "recvmsg": "EINTR ECONNRESET", "sendmsg": "EINTR EPIPE", "poll": "EINTR ENOMEM", "ppoll": "EINTR ENOMEM",
    "getrandom": "EINTR ENOSYS", "prlimit64": "EPERM", "pidfd_open": "EMFILE ENOSYS",
    "rt_sigtimedwait": "EINTR", "process_vm_readv": "EFAULT ESRCH EPERM", "process_vm_writev": "EFAULT ESRCH EPERM",
    "sched_getaffinity": "EINVAL",
}
NOT_ALLOWED = 126


@pytest.fixture
def calls(tmp_path):
    """What stands before a command to count its system calls, and in its environment."""
    if not CALLS.exists() or not MALLOC.exists():
        pytest.skip("%s is not built (the sanitizers' own calls are not to fail)" % CALLS)
    status, text = run([str(CALLS), "count", str(tmp_path / "calls"), "/bin/true"], dict(os.environ))
    if status == NOT_ALLOWED:
        pytest.skip(text)
    assert status == 0, text
    return [str(CALLS), "count", str(tmp_path / "calls")]


def read_counts(calls):
    with open(calls[2], encoding="ascii") as lines:
        return {name: int(number) for name, number in map(str.split, lines)}


def count_calls(calls, command, environment, ends=0):
    status, text = run(calls + command, dict(environment, **allocations(0)))
    assert status == ends, text
    return read_counts(calls)


def failures(counts, behind, runs):
    """(words before the command, their meaning) for each call and error of the table. behind: how many of the calls
    another test goes through. Of calls that are made a few times, all are taken unless runs is 1."""
    for name, errors in ERRORS.items():
        numbers = range(behind.get(name, 0) + 1, counts.get(name, 0) + 1)
        few = runs > 1 and len(numbers) <= 8
        for error in errors.split() if numbers else ():
            for n in sample("%s %s" % (name, error), numbers, len(numbers) if few else runs):
                words = [str(CALLS), "fail", name, str(getattr(errno, error)), str(n)]
                yield words, "%s %d of %d: %s" % (name, n, counts[name], error)


def test_agent_start_without_a_call(store, calls):
    command, environment = failing_agent(store, {})
    counts = count_calls(calls, command, environment)
    results = [0, 0]
    for words, what in failures(counts, {}, 2):
        status, text = run(words + command, dict(environment, **allocations(0)))
        check_start(status, text, what)
        results[status] += 1
        if store.kept:
            check_root(store)
    print("worked, did not: %s" % results)
    assert min(results) > 0


def test_agent_serves_or_refuses_without_a_call(store, calls, run_client):
    start = count_calls(calls, *start_alone(store), ends=1)
    command = store.command
    store.command = calls + command
    count_life(store, run_client, allocations(0))
    counts = read_counts(calls)
    results = {}
    # A log line that is not written is missed by nobody but this test, which waits for one.
    counts["write"] = 0
    for words, what in sample("system calls of a life", failures(counts, start, 1), 30):
        store.command = words + command
        result = serve_while_failing(store, run_client, allocations(0), what)
        results[result] = results.get(result, 0) + 1
    store.command = command
    print(results)


@pytest.mark.parametrize("program", [[TOOL, "ping"], [EXAMPLE]], ids=["ping", "library"])
def test_client_start_without_a_call(make_agent, run_client, world, calls, program):
    agent = make_agent(backend="dram", workers=2, memory_mb=64)
    environment = dict(agent.environment, **way_to(agent.address))
    command = [str(word) for word in program]
    counts = count_calls(calls, command, environment)
    before = gauges(agent)
    for words, what in failures(counts, {}, 1):
        status, text = run(words + command, dict(environment, **allocations(0)))
        assert status in (0, 1, 2, 3), "%s: status %d\n%s" % (what, status, text)
        assert status == 0 or text.strip(), "%s: status %d, and no reason" % (what, status)
        settles_to(agent, {**before, "bluecache_staging_free_bytes": gauges(agent)["bluecache_staging_free_bytes"]})
    run_client(agent.address, push_and_pull, False)
