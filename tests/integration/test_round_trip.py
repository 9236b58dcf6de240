# SPDX-License-Identifier: Apache-2.0
"""Bytes go to objects and come back: sizes, keys, batches, pieces, ranges, queries."""

import pytest

from nixl_client import BACKEND, Client, fails_with, pattern

MIB = 1 << 20
SIZES = [1, 511, 512, 4095, 4096, 4097, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 3 * MIB + 1, 8 * MIB]
KEYS = ["a", "a/b", "a/", "/a", ".", "..", "../../../../etc/bluecache", "/", "//", "tmp", "a b\n", "\u00fc\u4e2d",
        b"\x00", b"\x00\x00", b"n\x00l", b"\xff\xfe", b"a\x00", "k" * 255, "k" * 256, "k" * 1023, "k" * 1024,
        b"\xf0" * 1024]


def push_and_pull_sizes(line):
    client = Client()
    for size in SIZES:
        client.push("size/%d" % size, pattern(size, size))
    for size in reversed(SIZES):
        assert client.pull("size/%d" % size, size) == pattern(size, size), size
    assert client.query(["size/%d" % size for size in SIZES]) == SIZES


def test_every_size_comes_back(make_agent, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers)
    run_client(agent.address, push_and_pull_sizes)


def push_and_pull_keys(line):
    client = Client()
    for seed, key in enumerate(KEYS):
        client.push(key, pattern(seed, 100 + seed))
    for seed, key in enumerate(KEYS):
        assert client.pull(key, 100 + seed) == pattern(seed, 100 + seed), key
    assert client.query(KEYS) == [100 + seed for seed in range(len(KEYS))]


def test_every_key_is_an_object_of_its_own(make_agent, run_client, backend, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    agent = make_agent(backend=backend)
    run_client(agent.address, push_and_pull_keys)
    after = {path.name for path in tmp_path.iterdir()}
    assert after - set(before) == {"agent", "client 1.log"}
    assert sorted(path.name for path in agent.folder.iterdir()) == ["agent.log", "store"]


def register_long_keys(line):
    client = Client()
    with fails_with("Backend"):
        client.register_object(1, "k" * 1025)
    with fails_with("Backend"):
        client.register_object(1, b"\x00" * 5000)
    assert client.query(["k" * 1025]) == [None]
    client.push("k", b"works")
    assert client.pull("k", 5) == b"works"


def test_longer_keys_are_refused(make_agent, start_client):
    agent = make_agent(backend="dram")
    child = start_client(agent.address, register_long_keys)
    child.result()
    assert "has 1025 bytes; an object's key has at most 1024" in child.log()


def push_and_pull_batch(line, count, size):
    client = Client()
    memory = client.memory(pattern(5, count * size))
    wanted = memory.array.copy()
    pieces = [(memory, i * size, "block/%d" % i, 0, size) for i in range(count)]
    client.run("WRITE", pieces)
    memory.array[:] = 0
    client.run("READ", pieces)
    assert (memory.array == wanted).all()
    # Another way into the same objects: one by one, and backwards.
    assert client.pull("block/7", size) == wanted[7 * size:8 * size].tobytes()
    memory.array[:] = 0
    client.run("READ", [(memory, (count - 1 - i) * size, "block/%d" % i, 0, size) for i in range(count)])
    assert (memory.array.reshape(count, size)[::-1].reshape(-1) == wanted).all()


def test_batch_of_1024_blocks_is_one_request(make_agent, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers)
    run_client(agent.address, push_and_pull_batch, 1024, 65536)


def move_nothing(line):
    client = Client()
    memory = client.memory(16)
    client.run("WRITE", [(memory, 0, "empty", 0, 0)])
    assert client.query(["empty"]) == [0]
    client.run("READ", [(memory, 0, "empty", 0, 0)])
    with fails_with("NotFound"):
        client.run("READ", [(memory, 0, "missing", 0, 0)])
    with fails_with("InvalidParam"):
        client.run("READ", [(memory, 0, "empty", 0, 1)])


def test_empty_object_is_an_object(make_agent, run_client, backend):
    agent = make_agent(backend=backend)
    run_client(agent.address, move_nothing)


def push_pieces(line):
    client = Client()
    data = pattern(9, 1000 * 1000)
    cuts = [0, 1, 4096, 65536, 65537, 300000, 999999, 1000000]
    memory = client.memory(data)
    pieces = [(memory, begin, "whole", begin, end - begin) for begin, end in zip(cuts, cuts[1:])]
    client.run("WRITE", pieces[::2] + pieces[1::2])
    assert client.pull("whole", len(data)) == data
    # Pieces that do not tile are refused, and leave what there was, or nothing.
    for name, wrong in (("gap", pieces[:3] + pieces[4:]), ("overlap", pieces + pieces[2:3]),
                        ("late start", pieces[1:])):
        for key in ("whole", "new " + name):
            with fails_with("InvalidParam"):
                client.run("WRITE", [(memory, at, key, offset, length) for memory, at, _, offset, length in wrong])
    assert client.query(["whole", "new gap", "new overlap", "new late start"]) == [len(data), None, None, None]
    assert client.pull("whole", len(data)) == data


def test_pieces_of_an_object_have_to_tile(make_agent, run_client, backend):
    agent = make_agent(backend=backend)
    run_client(agent.address, push_pieces)


def pull_ranges(line):
    client = Client()
    data = pattern(3, 3 * MIB + 77)
    client.push("object", data)
    for offset, length in ((0, 1), (1, 1), (65535, 2), (65536, 65536), (MIB - 1, MIB + 2), (3 * MIB, 77),
                           (len(data) - 1, 1), (12345, 2 * MIB)):
        assert client.pull("object", length, offset) == data[offset:offset + length], (offset, length)
    for offset, length in ((0, len(data) + 1), (len(data), 1), (len(data) - 1, 2), (1 << 29, 1)):
        with fails_with("InvalidParam"):
            client.pull("object", length, offset)
    assert client.pull("object", len(data)) == data


def test_any_range_can_be_pulled_and_none_past_the_end(make_agent, run_client, backend):
    agent = make_agent(backend=backend)
    run_client(agent.address, pull_ranges)


def miss(line):
    client = Client()
    client.push("there", b"x" * 5000)
    with fails_with("NotFound"):
        client.pull("missing", 10)
    memory = client.memory(5010)
    with fails_with("NotFound"):
        client.run("READ", [(memory, 0, "there", 0, 5000), (memory, 5000, "missing", 0, 10)])
    assert client.pull("there", 5000) == b"x" * 5000


def test_missing_object_is_told_by_name(make_agent, start_client, backend):
    agent = make_agent(backend=backend)
    child = start_client(agent.address, miss)
    child.result()
    assert "pull of 'missing' failed" in child.log()


def ask(line, count):
    client = Client()
    assert client.query([]) == [] if count == 0 else True
    memory = client.memory(b"v" * count)
    client.run("WRITE", [(memory, 0, "q%d" % i, 0, i + 1) for i in range(0, count, 3)])
    assert client.query(["q%d" % i for i in range(count)]) == [i + 1 if i % 3 == 0 else None for i in range(count)]
    info = client.nixl.query_memory([(0, 1, 77, "q3")], BACKEND, "OBJ")
    assert set(info[0]) == {"size", "version"} and info[0]["size"] == "4" and int(info[0]["version"]) >= 0


def test_query_answers_a_long_list(make_agent, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers)
    run_client(agent.address, ask, 3000)


def overwrite(line):
    client = Client()
    for seed, size in enumerate((70000, 10, 3 * MIB, 3 * MIB, 1, 65536)):
        client.push("object", pattern(seed, size))
        assert client.query(["object"]) == [size]
        assert client.pull("object", size) == pattern(seed, size)
        with fails_with("InvalidParam"):
            client.pull("object", size + 1)


def test_last_push_replaces_the_object(make_agent, run_client, backend):
    agent = make_agent(backend=backend)
    run_client(agent.address, overwrite)


def post_again(line):
    client = Client()
    source, target = client.memory(8192), client.memory(8192)
    push = client.prepare("WRITE", [(source, 0, "object", 0, 8192)])
    pull = client.prepare("READ", [(target, 0, "object", 0, 8192)])
    for value in range(1, 6):
        source.array[:] = value
        for handle in (push, pull):
            client.post(handle)
            client.finish(handle)
        assert (target.array == value).all()
    client.nixl.release_xfer_handle(push)
    client.nixl.release_xfer_handle(pull)


def test_handle_can_be_posted_again(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, post_again)


def use_prepared_lists(line):
    client = Client()
    memory = client.memory(pattern(1, 16 * 4096))
    wanted = memory.array.copy()
    local = client.nixl.prep_xfer_dlist("NIXL_INIT_AGENT", [(memory.address(i * 4096), 4096, 0) for i in range(16)],
                                        "DRAM", backends=[BACKEND])
    remote = client.nixl.prep_xfer_dlist(client.name, [(0, 4096, client.number_of("o%d" % i)) for i in range(16)]
                                         + [(i * 4096, 4096, client.number_of("all")) for i in range(16)],
                                         "OBJ", backends=[BACKEND])

    def run(operation, there):
        handle = client.nixl.make_prepped_xfer(operation, local, list(range(16)), remote, there, backends=[BACKEND])
        client.post(handle)
        client.finish(handle)
        client.nixl.release_xfer_handle(handle)

    run("WRITE", list(range(16)))
    run("WRITE", list(range(16, 32)))  # NIXL merges these into one descriptor
    memory.array[:] = 0
    run("READ", list(range(16)))
    assert (memory.array == wanted).all()
    assert client.pull("all", 16 * 4096) == wanted.tobytes()
    client.nixl.release_dlist_handle(local)
    client.nixl.release_dlist_handle(remote)


def test_prepared_lists_make_transfers(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, use_prepared_lists)


def register_page_by_page(line, count):
    client = Client()
    memory = client.memory(pattern(2, count * 4096))
    wanted = memory.array.copy()
    memory.deregister()
    regs = client.nixl.register_memory([(memory.address(i * 4096), 4096, 0, "") for i in range(count)], "DRAM",
                                       backends=[BACKEND])
    local = [(memory.address(i * 4096), 4096, 0) for i in range(count)]
    remote = [(i * 4096, 4096, client.number_of("pages")) for i in range(count)]
    for operation in ("WRITE", "READ"):
        handle = client.prepare_raw(operation, local, remote)
        client.post(handle)
        client.finish(handle)
        client.nixl.release_xfer_handle(handle)
        assert (memory.array == wanted).all()
        if operation == "WRITE":
            memory.array[:] = 0
    client.nixl.deregister_memory(regs, backends=[BACKEND])


def test_memory_registered_page_by_page_works_as_one(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, register_page_by_page, 1000)


@pytest.mark.parametrize("order", [1, 7])
def test_order_of_dma_completions_does_not_matter(make_agent, run_client, order):
    agent = make_agent(backend="dram", faults={"RANDOM_ORDER": order})
    run_client(agent.address, push_and_pull_sizes)
    run_client(agent.address, push_and_pull_batch, 256, 4096)
