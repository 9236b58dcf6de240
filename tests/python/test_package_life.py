# SPDX-License-Identifier: Apache-2.0
"""The Python package: handles that were freed, dropped or inherited, threads, and agents that go away."""

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref

import package
from package import OBJECT, entry, get, make_place, pattern, place, put, stored  # noqa: F401
from bluecache import Client, ClosedError, Entry, Error, SharedMemory, Status
import pytest

JOIN_SECONDS = 60


def refuses_freed(line):
    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        request = client.push([entry(memory, b"k")])
        assert request.wait() is Status.OK and request.free()
        for use in (request.test, request.wait, request.cancel, request.is_terminal, lambda: request.statuses,
                    lambda: request.bytes):
            with pytest.raises(ClosedError, match="request was freed"):
                use()
        left = client.push([entry(memory, b"k")])
    assert client.closed and not memory.registered
    client.close()
    memory.unregister()
    assert request.free() and left.free()
    for use in (client.ping, client.stats, client.fileno, client.clear_fd, lambda: client.info, left.test, left.wait,
                lambda: client.query([b"k"]), lambda: client.remove([b"k"]), lambda: client.push([entry(memory, b"k")]),
                lambda: client.try_pull([entry(memory, b"k")]), lambda: client.register(bytearray(5))):
        with pytest.raises(ClosedError, match="closed"):
            use()
    assert "closed" in repr(client) and "unregistered" in repr(memory)


def test_freed_handles_are_refused(place):
    place.run(refuses_freed)


def keeps_buffers(line):
    with Client() as client:
        buffer = bytearray(OBJECT)
        memory = client.register(buffer)
        with pytest.raises(BufferError):
            buffer.extend(b"more")
        memory.unregister()
        buffer.extend(b"more")
        array = __import__("numpy").zeros(OBJECT, dtype="uint8")
        watch = weakref.ref(array)
        memory = client.register(array)
        del array
        gc.collect()
        assert watch() is not None
        assert client.push([entry(memory, b"zero")]).wait() is Status.OK
        memory.unregister()
        del memory
        gc.collect()
        assert watch() is None


def test_buffers_live_as_long_as_they_are_registered(place):
    place.run(keeps_buffers)


def frees_shared(line):
    def mappings():
        with open("/proc/self/maps") as maps:
            return maps.read().count("memfd:bluecache")

    before = mappings()
    shared = SharedMemory(5000)
    assert shared.length == len(shared) == 8192 and shared.address % 4096 == 0 and mappings() == before + 1
    part = memoryview(shared.view)[4096:4100]
    assert shared.free() is False and shared.free() is False
    part[:] = b"live"
    assert mappings() == before + 1 and bytes(part) == b"live"
    with pytest.raises(ClosedError):
        shared.view
    del part
    assert shared.free() is True and mappings() == before
    with SharedMemory(1) as shared:
        pass
    assert mappings() == before
    shared = SharedMemory(1)
    del shared
    gc.collect()
    assert mappings() == before
    if sys.version_info >= (3, 12):
        assert memoryview(SharedMemory(1)).nbytes == 4096
    with Client() as client:
        shared = client.alloc(OBJECT)
        memory = client.register(shared)
        assert shared.free() is False
        assert client.push([entry(memory, b"k")]).wait() is Status.OK
        memory.unregister()
        assert shared.free() is True and mappings() == before
        client.register(client.alloc(OBJECT))
    gc.collect()
    assert mappings() == before


def test_shared_memory_goes_with_the_last_view(place):
    place.run(frees_shared)


def drops_handles(line, pid):
    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        core = client._core
        for _ in range(300):
            client.push([entry(memory, b"k")])
        assert client.push([entry(memory, b"k")]).wait() is Status.OK
        package.until(lambda: not client.push([entry(memory, b"k")]).free() and len(core.orphan_requests) < 10,
                      "dropped requests are freed")
        for _ in range(50):
            client.register(bytearray(OBJECT))
        assert len(core.buffers) < 5
        back = bytearray(OBJECT)
        dropped, other = client.register(back), client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            request = client.pull([entry(dropped, b"k")])
            client.pull([entry(other, b"k")])  # dropped in flight
            del dropped
            gc.collect()
            with pytest.raises(Error) as busy:
                other.unregister()
            assert busy.value.errno == errno.EBUSY and other.registered
        assert request.wait() is Status.OK
        assert client.push([entry(other, b"k")]).wait() is Status.OK
        package.until(lambda: not client.register(back) or len(core.buffers) < 5, "dropped memories are unregistered")


def test_dropped_requests_and_memories_are_given_back(place):
    place.run(drops_handles, place.agent)


def drops_client(line):
    client = Client()
    core = client._core
    memory = client.register(bytearray(OBJECT))
    request = client.push([entry(memory, b"k")])
    del client
    gc.collect()
    assert request.wait() is Status.OK and core.handle is not None  # they keep it open
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del memory, request
        gc.collect()
        package.until(lambda: core.handle is None, "a dropped client closes")
    assert [warning.category for warning in told] == [ResourceWarning]


def test_dropped_client_is_closed(place):
    place.run(drops_client)


ENDS_OPEN = """
import bluecache
client = bluecache.Client()
memory = client.register(bytearray(65536))
client.push([bluecache.Entry(memory, 0, b"k", 0, 65536)])
"""


def test_clients_are_closed_when_the_interpreter_ends(place):
    environment = dict(os.environ, PYTHONPATH=str(package.SOURCES), BLUECACHE_DPU_ADDR=place.agent.address,
                       **{**package.settings(place.world), "BLUECACHE_LOG": "debug"})
    done = subprocess.run([sys.executable, "-c", ENDS_OPEN], env=environment, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "the client is closed" in done.stderr, done.stderr


def in_the_child(client, memory, request, shared):
    try:
        for use in (client.ping, client.fileno, lambda: client.info, request.test, request.wait, request.free,
                    lambda: request.bytes, memory.unregister, lambda: client.push([entry(memory, b"k")]),
                    lambda: client.register(bytearray(5)), lambda: client.query([b"k"]), lambda: client.query([])):
            with pytest.raises(ClosedError, match="forked child") as raised:
                use()
            assert raised.value.errno == errno.ECHILD
        client.close()
        shared.view[:5] = b"child"
        shared.free()
        del memory, request, shared, client
        gc.collect()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def forks(line):
    client = Client()
    shared = client.alloc(OBJECT)
    memory = client.register(shared)
    request = client.push([entry(memory, b"k")])
    with client._core.lock:  # as if another thread were just inside
        child = os.fork()
        if child == 0:
            in_the_child(client, memory, request, shared)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bytes(shared.view[:5]) == b"child"
    assert request.wait() is Status.OK and client.ping() > 0
    client.close()


def test_a_forked_child_is_refused(place):
    place.run(forks)


def uses_threads(line, threads, rounds):
    failures = []

    def work(number, client):
        try:
            memory = client.register(bytearray(4096))
            for index in range(rounds):
                memory_bytes = b"%04d%04d" % (number, index) * 512
                put(client, b"%d" % number, memory_bytes)
                assert get(client, b"%d" % number, 4096) == memory_bytes
                assert client.query([b"%d" % number])[0].size == 4096
                with client.pull([entry(memory, b"%d" % number, 0, 4096)]) as request:
                    if index % 3 == 0:
                        request.cancel()
            memory.unregister()
        except BaseException as error:
            failures.append(repr(error))

    with Client() as client:
        workers = [threading.Thread(target=work, args=(number, client), daemon=True) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(JOIN_SECONDS)
            assert not worker.is_alive()
    assert not failures, failures


def test_threads_share_a_client(stored):
    stored.run(uses_threads, 4, 25)


def races_free(line, rounds):
    """Two threads at one request: one waits, the other frees; and one unregisters while the other submits."""
    with Client() as client:
        for index in range(rounds):
            memory = client.register(bytearray(4096))
            request = client.push([entry(memory, b"k", 0, 4096)])
            outcomes = []

            def wait():
                try:
                    outcomes.append(request.wait())
                except ClosedError as error:
                    outcomes.append(error)

            def submit():
                for _ in range(3):
                    try:
                        client.push([entry(memory, b"k", 0, 4096)]).wait()
                    except ClosedError:
                        return

            workers = [threading.Thread(target=target, daemon=True) for target in (wait, submit)]
            for worker in workers:
                worker.start()
            package.until(request.free, "it is freed")

            def unregisters():
                try:
                    memory.unregister()
                except Error as error:
                    assert error.errno == errno.EBUSY
                return not memory.registered

            package.until(unregisters, "it is unregistered")
            for worker in workers:
                worker.join(JOIN_SECONDS)
                assert not worker.is_alive()
            assert outcomes[0] is Status.OK or isinstance(outcomes[0], ClosedError)


def test_freeing_in_another_thread(place):
    place.run(races_free, 40)


def keeps_what_is_in_use(line):
    """As if another thread were inside the library with the handle."""
    client = Client(timeout_ms=200)
    memory = client.register(bytearray(OBJECT))
    request = client.push([entry(memory, b"k")])
    assert request.wait() is Status.OK
    request._enter()
    assert not request.free() and request.test() is Status.OK
    with pytest.raises(Error, match="another thread is inside a call") as busy:
        client.close()
    assert busy.value.errno == errno.EBUSY and not client.closed
    request._leave()
    client.close()
    assert client.closed and request.free()
    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        with client._core.lock:
            memory.take(client._core)
        with pytest.raises(Error, match="in use by another thread"):
            memory.unregister()
        with client._core.lock:
            memory.drop()
        memory.unregister()


def test_handles_in_use_are_not_freed(place):
    place.run(keeps_what_is_in_use)


def closes_under_others(line, pid):
    client = Client()
    memory = client.register(bytearray(OBJECT))
    outcomes = []

    def wait(request):
        try:
            outcomes.append(request.wait(JOIN_SECONDS * 1000))
        except ClosedError:
            outcomes.append(ClosedError)

    with package.Stopped(pid):
        requests = [client.pull([entry(memory, b"none")]) for _ in range(3)]
        waiters = [threading.Thread(target=wait, args=(request,), daemon=True) for request in requests]
        for waiter in waiters:
            waiter.start()
        closer = threading.Thread(target=client.close, daemon=True)
        closer.start()
        package.until(lambda: client._core.closing, "it is being closed")
    closer.join(JOIN_SECONDS)
    for waiter in waiters:
        waiter.join(JOIN_SECONDS)
    assert len(outcomes) == 3 and set(outcomes) <= {ClosedError, Status.CANCELLED, Status.NOT_FOUND}, outcomes
    assert client.closed and all(request.free() for request in requests)


def test_closing_while_others_wait(place):
    place.run(closes_under_others, place.agent)


def close_is_refused(line, pid):
    client = Client(timeout_ms=500)
    buffer = bytearray(OBJECT)
    memory = client.register(buffer)
    request = package.push_that_stops(client, pid)
    for _ in range(2):
        with pytest.raises(Error, match="cannot be closed yet") as refused:
            client.close()
        assert refused.value.errno == errno.EBUSY
    assert not client.closed and memory.registered and not request.free()
    with pytest.raises(BufferError):
        buffer.extend(b"its place is kept")
    with pytest.raises(ClosedError):
        client.ping()
    line.say("let it go on")

    def closes():
        try:
            client.close()
        except Error as error:
            assert error.errno == errno.EBUSY
        return client.closed

    package.until(closes, "it can be closed")
    buffer.extend(b"free")
    assert request.free()


def test_close_is_refused_while_a_copy_is_stopped(make_place):
    place = make_place(**package.STOPS_IN_COPY)
    client = place.start(close_is_refused, place.agent)
    try:
        client.hear("let it go on")
    finally:
        place.agent.send(signal.SIGCONT)
    client.result()


def is_interrupted(line, pid):
    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            request = client.pull([entry(memory, b"none")])
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Stop):
                request.wait()
        assert request.wait() is Status.NOT_FOUND


def test_a_signal_interrupts_a_wait(place):
    place.run(is_interrupted, place.agent)


def cancels_and_expires(line, pid):
    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            expired = client.pull([entry(memory, b"none")], timeout_ms=100)
            assert expired.wait() is Status.TIMED_OUT
        with client.push([entry(memory, b"k")]) as request:
            request.cancel()
            assert request.wait() in (Status.OK, Status.CANCELLED)


def test_deadlines_and_cancelling(place):
    place.run(cancels_and_expires, place.agent)


def outlives_the_agent(line, backend):
    with Client(timeout_ms=30000) as client:
        put(client, b"kept", pattern(1))
        memory = client.register(bytearray(16 * OBJECT))
        many = [Entry(memory, index * OBJECT, b"%d" % index, 0, OBJECT) for index in range(16)]
        line.say("kill it")
        statuses = set()
        end = time.monotonic() + JOIN_SECONDS
        while Status.DISCONNECTED not in statuses and "errors" not in statuses:
            assert time.monotonic() < end
            try:
                statuses.add(client.push(many, timeout_ms=1000).wait())
            except Error as error:
                assert error.errno in (errno.ENOTCONN, errno.ETIMEDOUT), error
                statuses.add("errors")
        assert statuses <= {Status.OK, Status.DISCONNECTED, Status.TIMED_OUT, "errors"}, statuses
        with pytest.raises(Error):
            client.try_push(many)
        line.say("start it")
        assert client.push(many).wait() is Status.OK  # waits for the connection; the memory is known there again
        assert client.info.connected and client.info.reconnects >= 1
        assert get(client, b"15") == bytes(OBJECT)
        assert get(client, b"kept") == (pattern(1) if backend == "posix" else Status.NOT_FOUND)


def test_agent_killed_and_started_again(stored):
    backend = stored.agent.command[stored.agent.command.index("-b") + 1]
    client = stored.start(outlives_the_agent, backend)
    client.hear("kill it")
    stored.agent.kill()
    client.hear("start it")
    stored.agent.start()
    client.result()
