# SPDX-License-Identifier: Apache-2.0
"""More than fits at once: requests larger than the pool, several of them, few credits, several clients."""

import itertools
import threading

from nixl_client import Client, fails_with, pattern

MIB = 1 << 20
# The smallest pool that the agent takes, so that little data is a lot.
SMALL_POOL_MB = 16


def push_and_pull_large(line, size):
    client = Client()
    data = pattern(1, size)
    client.push("large", data)
    assert client.pull("large", size) == data


def test_request_larger_than_the_pool(make_agent, run_client, workers):
    agent = make_agent(backend="posix", workers=workers, memory_mb=SMALL_POOL_MB)
    run_client(agent.address, push_and_pull_large, 5 * SMALL_POOL_MB * MIB + 4321)


def push_and_pull_from_threads(line, count, size):
    """NIXL's registration is not thread-safe in its default mode: all of it is done before the threads start."""
    client = Client()
    memories = [client.memory(pattern(i, size)) for i in range(count)]
    wanted = [memory.array.copy() for memory in memories]
    for i in range(count):
        client.number_of("large/%d" % i)
    failures = []

    def work(i):
        try:
            piece = [(memories[i], 0, "large/%d" % i, 0, size)]
            client.run("WRITE", piece)
            memories[i].array[:] = 0
            client.run("READ", piece)
            assert (memories[i].array == wanted[i]).all(), i
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_eight_requests_larger_than_the_pool_at_once(make_agent, run_client, workers):
    agent = make_agent(backend="posix", workers=workers, memory_mb=SMALL_POOL_MB)
    run_client(agent.address, push_and_pull_from_threads, 8, SMALL_POOL_MB * MIB + 4096)


def push_and_pull_own(line, name, size, rounds):
    client = Client(name)
    for i in range(rounds):
        data = pattern(hash(name) % 1000 + i, size)
        client.push("%s/%d" % (name, i), data)
        assert client.pull("%s/%d" % (name, i), size) == data


def test_eight_clients_at_once(make_agent, start_client):
    agent = make_agent(backend="posix", workers=2, memory_mb=SMALL_POOL_MB)
    clients = [start_client(agent.address, push_and_pull_own, "client %d" % i, SMALL_POOL_MB * MIB + 1, 1)
               for i in range(8)]
    for client in clients:
        client.result()


def test_two_clients_at_once(make_agent, start_client, backend):
    agent = make_agent(backend=backend, workers=2)
    clients = [start_client(agent.address, push_and_pull_own, name, 300001, 50) for name in ("first", "second")]
    for client in clients:
        client.result()


def post_many(line, count, size):
    client = Client()
    memory = client.memory(pattern(4, count * size))
    wanted = memory.array.copy()
    for operation in ("WRITE", "READ"):
        handles = [client.prepare(operation, [(memory, i * size, "o%d" % i, 0, size)]) for i in range(count)]
        for handle in handles:
            assert client.post(handle) in ("PROC", "DONE")
        for handle in reversed(handles):  # the last one first: the line has to move by itself
            client.finish(handle)
        for handle in handles:
            client.nixl.release_xfer_handle(handle)
        if operation == "WRITE":
            memory.array[:] = 0
    assert (memory.array == wanted).all()


def test_requests_beyond_the_credits_wait(make_agent, run_client):
    agent = make_agent(backend="dram", options=["--requests-max", "2"])
    run_client(agent.address, post_many, 50, 10000)


def test_bytes_beyond_the_credits_wait(make_agent, run_client):
    agent = make_agent(backend="dram", options=["--bytes-max", "1M"])
    run_client(agent.address, post_many, 30, 2 * MIB + 5)


def post_too_many_entries(line):
    client = Client()
    memory = client.memory(65)
    with fails_with("InvalidParam"):
        client.prepare("WRITE", [(memory, i, "o%d" % i, 0, 1) for i in range(65)])
    client.run("WRITE", [(memory, i, "o%d" % i, 0, 1) for i in range(64)])


def test_more_entries_than_the_agent_grants_are_refused(make_agent, start_client):
    agent = make_agent(backend="dram", options=["--entries-max", "64"])
    child = start_client(agent.address, post_too_many_entries)
    child.result()
    assert "from 1 to 64" in child.log()


def overwrite_until_told(line, size):
    client = Client("writer")
    memory = client.memory(size)
    handle = client.prepare("WRITE", [(memory, 0, "shared", 0, size)])
    for version in itertools.count(1):
        memory.array[:] = version % 251
        client.post(handle)
        client.finish(handle)
        if version == 1:
            line.say("there")
        if line.connection.poll():
            line.hear("enough")
            client.nixl.release_xfer_handle(handle)
            return version


def pull_and_compare(line, size, count):
    client = Client("reader")
    memory = client.memory(size)
    handle = client.prepare("READ", [(memory, 0, "shared", 0, size)])
    seen = set()
    for _ in range(count):
        client.post(handle)
        client.finish(handle)
        assert (memory.array == memory.array[0]).all(), "bytes of two versions in one pull"
        seen.add(int(memory.array[0]))
    client.nixl.release_xfer_handle(handle)
    return len(seen)


def test_pull_sees_one_version_while_others_are_pushed(make_agent, start_client, backend):
    size = 3 * MIB + 11
    agent = make_agent(backend=backend, workers=2)
    writer = start_client(agent.address, overwrite_until_told, size)
    writer.hear("there")
    reader = start_client(agent.address, pull_and_compare, size, 150)
    assert reader.result() > 1
    writer.say("enough")
    assert writer.result() > 1


def fill(line, count, size):
    """Twice what the store holds: the oldest objects go, and what is there is right."""
    client = Client()
    for i in range(count):
        client.push("fill/%d" % i, pattern(i, size))
    there = client.query(["fill/%d" % i for i in range(count)])
    assert there[-1] == size
    assert 0 < there.count(size) < count
    for i, found in enumerate(there):
        if found is None:
            with fails_with("NotFound"):
                client.pull("fill/%d" % i, size)
        else:
            assert client.pull("fill/%d" % i, size) == pattern(i, size)
    return there.count(size)


def test_full_store_evicts(make_agent, run_client, backend):
    agent = make_agent(backend=backend, memory_mb=64, options=["--capacity", "32M"])
    kept = run_client(agent.address, fill, 64, MIB)
    assert kept <= 32
