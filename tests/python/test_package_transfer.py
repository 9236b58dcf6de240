# SPDX-License-Identifier: Apache-2.0
"""The Python package against an agent: what goes to the store and back, what is refused, and how that is told."""

import ctypes
import errno
import mmap
import struct

import package
from package import OBJECT, entry, get, make_place, pattern, place, put, stored  # noqa: F401
from bluecache import Client, ConnectError, Entry, Error, StatKind, Status
from bluecache.entries import HeadedEntries, pack_entries
import bluecache
import pytest


def moves_objects(line, backend):
    with Client(name="test") as client:
        memory = client.register(bytearray(b"".join(pattern(seed) for seed in range(4))))
        back = bytearray(4 * OBJECT)
        keys = [b"a", b"\0", b"\xff" * bluecache.KEY_LEN_MAX, "é/\n".encode()]
        push = client.push([entry(memory, key, index * OBJECT) for index, key in enumerate(keys)])
        assert push.wait() is Status.OK and push.statuses == [Status.OK] * 4 and push.bytes == 4 * OBJECT
        assert push.count == 4 and push.test() is Status.OK and push.is_terminal()
        infos = client.query([*keys, b"none", b"", b"\1" * 1025])
        assert [info.status for info in infos] == [Status.OK] * 4 + [Status.NOT_FOUND] + [Status.KEY_TOO_LONG] * 2
        assert [info.size for info in infos[:4]] == [OBJECT] * 4 and all(info.version > 0 for info in infos[:4])
        pull = client.pull([entry(client.register(back), key, index * OBJECT) for index, key in enumerate(keys)])
        assert pull.wait() is Status.OK
        assert back == b"".join(pattern(seed) for seed in range(4))
        assert client.remove([keys[1], b"none"]) == [Status.OK, Status.NOT_FOUND]
        assert [info.status for info in client.query(keys[:2])] == [Status.OK, Status.NOT_FOUND]
        assert push.free() and push.free()
        assert backend in client.info.agent


def test_objects_of_any_key_go_there_and_back(stored):
    stored.run(moves_objects, stored.agent.command[stored.agent.command.index("-b") + 1])


def moves_pieces(line):
    """One object out of many pieces in any order, and ranges of it."""
    with Client() as client:
        data = pattern(5)
        scattered = bytearray(OBJECT)
        order = (3, 0, 15, 9, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14)
        pieces = [(index * 4096, (15 - index) * 4096) for index in order]
        for inside, offset in pieces:
            scattered[inside:inside + 4096] = data[offset:offset + 4096]
        memory = client.register(scattered)
        request = client.push([Entry(memory, inside, b"whole", offset, 4096) for inside, offset in pieces])
        assert request.wait() is Status.OK
        assert get(client, b"whole") == data
        back = bytearray(100)
        with client.register(back) as memory:
            assert client.pull([Entry(memory, 10, b"whole", 70, 77)]).wait() is Status.OK
        assert back == bytes(10) + data[70:147] + bytes(13)


def test_pieces_and_ranges_of_an_object(place):
    place.run(moves_pieces)


def tells_entries_apart(line):
    with Client() as client:
        memory = client.register(bytearray(OBJECT))
        put(client, b"there", pattern(1))
        request = client.pull([entry(memory, b"there"), entry(memory, b"not there"), entry(memory, b""),
                               Entry(memory, 0, b"there", OBJECT, 1), entry(memory, b"k" * 1025)])
        assert request.wait() is Status.NOT_FOUND
        assert request.statuses == [Status.OK, Status.NOT_FOUND, Status.KEY_TOO_LONG, Status.RANGE,
                                    Status.KEY_TOO_LONG]
        assert request.bytes == OBJECT
        request = client.push([entry(memory, b"good"), Entry(memory, 0, b"gap", 10, 20),
                               Entry(memory, 0, b"twice", 0, 20), Entry(memory, 0, b"twice", 10, 20)])
        assert request.wait() is Status.TILING
        assert request.statuses == [Status.OK, Status.TILING, Status.TILING, Status.TILING]
        assert [info.status for info in client.query([b"good", b"gap"])] == [Status.OK, Status.NOT_FOUND]
        nothing = client.push([entry(memory, b"")])
        assert nothing.wait() is Status.KEY_TOO_LONG and nothing.bytes == 0


def test_statuses_of_single_entries(place):
    place.run(tells_entries_apart)


def refuses(what, call, *arguments, says="", **options):
    with pytest.raises(what) as raised:
        call(*arguments, **options)
    assert says in str(raised.value), str(raised.value)
    return raised.value


def refuses_arguments(line):
    with Client() as client, Client() as other:
        memory = client.register(bytearray(OBJECT))
        assert refuses(Error, client.push, [entry(memory, b"k"), Entry(memory, 1, b"k", 0, OBJECT)],
                       says="entry 1: bytes 1 to 65537 lie outside").errno == errno.EINVAL
        too_far = Entry(memory, 0, b"k", (1 << 64) - 1, 2)
        assert refuses(Error, client.pull, [too_far], says="entry 0").errno == errno.EINVAL
        for entries in ([], [()], [(memory, 0, b"k", 0)]):
            refuses((TypeError, ValueError), client.push, entries)
        for field, value in ((0, None), (0, 7), (0, bytearray(1)), (2, "k"), (2, None), (2, 5), (1, None)):
            wrong = list(entry(memory, b"k"))
            wrong[field] = value
            refuses((TypeError, ValueError), client.push, [entry(memory, b"k"), tuple(wrong)])
        for field in (1, 3, 4, 5):
            for value in (-1, 1 << 64, 0.5):
                wrong = list(entry(memory, b"k"))
                wrong[field] = value
                refuses(ValueError, client.push, [entry(memory, b"k"), tuple(wrong)], says="entry 1")
        refuses(TypeError, client.push, 5)
        refuses(ValueError, client.push, [entry(memory, b"k")], timeout_ms=-1)
        refuses(ValueError, other.push, [entry(memory, b"k")], says="another client")
        refuses(TypeError, client.query, ["k"])
        refuses(TypeError, client.query, b"k")
        refuses(TypeError, client.remove, [None])
        assert client.query([]) == [] and client.remove([]) == []
        memory.unregister()
        memory.unregister()
        refuses(bluecache.ClosedError, client.push, [entry(memory, b"k")], says="unregistered")


def test_bad_arguments_are_refused(place):
    place.run(refuses_arguments)


def refuses_buffers(line):
    with Client() as client:
        refuses(ValueError, client.register, b"read-only", says="read-only")
        refuses(ValueError, client.register, bytearray(), says="empty")
        refuses(ValueError, client.register, memoryview(bytearray(100))[::2], says="contiguous")
        refuses(TypeError, client.register, "text", says="str is no buffer")
        refuses(TypeError, client.register, None)
        refuses(ValueError, client.register, 4096)
        refuses(ValueError, client.register, 4096, 0)
        refuses(ValueError, client.register, bytearray(5), 5)
        refuses(ValueError, client.register, bytearray(5), device=0)
        assert refuses(Error, client.register, 4096, 4096).errno == errno.EFAULT
        assert refuses(Error, client.register, 1 << 40, 4096, device=0).errno == errno.ENODEV
        refuses(ValueError, client.alloc, 0)
        assert refuses(Error, client.alloc, 1 << 60).errno == errno.ENOMEM


def test_bad_buffers_are_refused(place):
    place.run(refuses_buffers)


def takes_buffers(line):
    import numpy
    import torch

    array = numpy.zeros((16, 1024), dtype=numpy.float32)
    tensor = torch.zeros(OBJECT // 2, dtype=torch.bfloat16)
    mapped = mmap.mmap(-1, OBJECT)
    raw = ctypes.create_string_buffer(OBJECT)
    wide = memoryview(bytearray(OBJECT)).cast("d")
    part = memoryview(bytearray(3 * OBJECT))[OBJECT:2 * OBJECT]
    with Client() as client:
        shared = client.alloc(OBJECT)
        assert client.register(tensor).address == tensor.data_ptr()
        assert client.register(array[4:8]).address == array.ctypes.data + 4 * 4096
        contents = [
            (array, array.tobytes), (tensor, lambda: tensor.view(torch.uint8).numpy().tobytes()),
            (mapped, lambda: mapped[:]), (raw, lambda: raw.raw), (wide, wide.tobytes), (part, part.tobytes),
            (shared, shared.view.tobytes), (numpy.frombuffer(shared.view, dtype=numpy.uint8), shared.view.tobytes)]
        for seed, (buffer, read) in enumerate(contents):
            put(client, b"key", pattern(seed))
            memory = client.register(buffer)
            assert memory.length == OBJECT and memory.device is None
            assert client.pull([entry(memory, b"key")]).wait() is Status.OK
            assert read() == pattern(seed), buffer
        put(client, b"key", pattern(77))
        with client.register(ctypes.addressof(raw), OBJECT) as memory:
            assert client.pull([entry(memory, b"key")]).wait() is Status.OK
        assert raw.raw == pattern(77)
        refuses(ValueError, client.register, array[:, ::2], says="contiguous")
        refuses(ValueError, client.register, torch.zeros(4, 4).t()[:2], says="contiguous")
        refuses(ValueError, client.register, torch.zeros(0), says="empty")
        refuses(ValueError, client.register, torch.zeros(4, device="meta"), says="device meta")


def test_buffers_of_every_kind(place):
    place.run(takes_buffers)


def asks_the_agent(line, address):
    with Client(timeout_ms=15000) as client:
        info = client.info
        assert info.connected and info.emulated and info.reconnects == 0 and info.dpu_addr == address
        assert info.object_size_max <= bluecache.OBJECT_SIZE_MAX and info.chunk_len > 0 and info.entries_max > 0
        assert client.timeout_ms == 15000
        assert 0 < client.ping() < 15
        put(client, b"k", pattern(1))
        stats = client.stats()
        assert stats["bluecache_dram_objects"].value == 1 and stats["bluecache_dram_objects"].kind is StatKind.GAUGE
        assert {stat.kind for stat in stats.values()} == set(StatKind)
        assert client.fileno() >= 0
        with Client(requests_max=3) as narrow:
            assert narrow.info.requests_max == 3 and narrow.timeout_ms == package.TIMEOUT_MS


def test_what_the_agent_tells(place):
    place.run(asks_the_agent, place.agent.address)


def cannot_open(line, address):
    for options, number in (({"dpu_addr": "127.0.0.1:1"}, errno.ECONNREFUSED),
                            ({"mode": "comch", "dpu_addr": "nobodys-service"}, errno.ECONNREFUSED),
                            ({"mode": "smoke"}, errno.EINVAL),
                            ({"pci_addr": "0000:00:01.0"}, errno.ENODEV),
                            ({"dpu_addr": "127.0.0.1:none"}, errno.EINVAL)):
        error = refuses(ConnectError, Client, **options)
        assert error.errno == number and len(error.strerror) > 20 and isinstance(error, OSError), options
    for options in ({"timeout_ms": -1}, {"requests_max": -1}, {"requests_max": 1 << 32}):
        refuses(ValueError, Client, **options)


def test_client_that_cannot_be_opened_is_told_why(place):
    place.run(cannot_open, place.agent.address)


def uses_try(line, pid):
    with Client(requests_max=2) as client:
        memory = client.register(bytearray(OBJECT))
        with package.Stopped(pid):
            first = client.try_push([entry(memory, b"1")])
            second = client.try_push([entry(memory, b"2")])
            assert client.try_push([entry(memory, b"3")]) is None and client.try_pull([entry(memory, b"3")]) is None
            assert refuses(Error, client.push, [entry(memory, b"3")], timeout_ms=50).errno == errno.ETIMEDOUT
            assert first.statuses == [Status.IN_PROGRESS] and first.wait(1) is Status.IN_PROGRESS
            assert first.bytes == 0 and not first.free() and not first.is_terminal()
        assert first.wait() is Status.OK and second.wait() is Status.OK
        assert client.try_push([entry(memory, b"3")]).wait() is Status.OK


def test_try_does_not_wait_for_credits(place):
    place.run(uses_try, place.agent)


def drops_groups(line):
    """Fills the store until an object goes that nobody asked for. Does another, in use all the time, go as well?"""
    length = 1 << 20

    def goes_too(group):
        data = client.register(client.alloc(length))
        names = [b"%d first" % group, b"%d second" % group]
        assert client.push([entry(data, name, 0, length)._replace(group=group) for name in names]).wait() is Status.OK
        for number in range(1000):
            statuses = [info.status for info in client.query(names)]
            if statuses[0] is not Status.OK:
                return statuses == [Status.NOT_FOUND] * 2
            client.pull([entry(data, names[1], 0, length)]).wait()
            assert client.push([entry(data, b"other %d" % number, 0, length)]).wait() is Status.OK
        raise AssertionError("nothing was dropped")

    with Client() as client:
        assert goes_too((1 << 64) - 1)
        assert not goes_too(0)


def test_objects_of_a_group_go_together(make_place):
    make_place(backend="dram", memory_mb=64).run(drops_groups)


def pushes_many(line, count):
    with Client() as client:
        size = 512
        data = b"".join(b"%08d" % index * (size // 8) for index in range(count))
        memory = client.register(bytearray(data))
        request = client.push([Entry(memory, index * size, b"key %d" % index, 0, size) for index in range(count)])
        assert request.wait() is Status.OK and request.statuses == [Status.OK] * count
        assert {info.size for info in client.query([b"key %d" % index for index in range(count)])} == {size}
        back = bytearray(count * size)
        pull = client.pull([Entry(client.register(back), index * size, b"key %d" % index, 0, size)
                            for index in range(count)])
        assert pull.wait() is Status.OK and back == data


def test_thousands_of_entries_in_one_request(place):
    place.run(pushes_many, 5000)


def packs_heads_and_bodies(line):
    with Client() as client:
        head, one, two = [client.register(bytearray(64 * 1024)) for _ in range(3)]
        keys = [b"a", b"\0" * 1024, b"ccc"]
        for groups in (None, [7, 0, (1 << 64) - 1]):
            columns = HeadedEntries(head, [0, 1024, 512], 512, [one, two, one], [0, 4096, 8192], [100, 200, 300], keys,
                                    groups)
            listed = [columns[index] for index in range(len(columns))]
            assert listed == list(columns) == columns[:] and len(columns) == 6 and columns[-1] == listed[5]
            assert listed[3] == Entry(two, 4096, keys[1], 512, 200, 0 if groups is None else groups[1])
            handles = {head: 1, one: (1 << 64) - 1, two: 3}
            fast, slow = [rows(packed) for packed in (columns.pack(handles), pack_entries(listed, handles))]
            assert fast == slow and [row[1] for row in fast] == [keys[index // 2] for index in range(6)]
        whole = HeadedEntries(head, [0, 512], 512, [one, two], [0, 0], [100, 200], keys[::2], None)
        assert client.push(whole).wait() is Status.OK
        assert [info.size for info in client.query(keys[::2])] == [612, 712]
        refused(ValueError, client.push, HeadedEntries(head, [], 512, [], [], [], [], None))
        for bad in ([-1], [1 << 64], [0.5], [None]):
            refused(ValueError, client.push, HeadedEntries(head, [0], 512, [one], bad, [100], [b"x"], None))
        refused(ValueError, client.push, HeadedEntries(head, [0], 512, [one, one], [0, 0], [1, 1], [b"x", b"y"], None))
        refused(Error, client.push, HeadedEntries(head, [0], 512, [one], [0], [1 << 20], [b"x"], None))
        two.unregister()
        refused(bluecache.ClosedError, client.push, whole)
        assert client.connected
    try:
        client.connected
    except bluecache.ClosedError:
        return
    raise AssertionError("a closed client told something")


def rows(packed):
    """The array that the library reads; keys instead of their addresses."""
    made = []
    for memory, offset, key, key_len, *rest in struct.iter_unpack("=7Q", ctypes.string_at(packed.address,
                                                                                          56 * packed.count)):
        made.append((memory, ctypes.string_at(key, key_len), offset, *rest))
    return made


def refused(kind, call, *arguments):
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


def test_columns_are_packed_as_entries(place):
    place.run(packs_heads_and_bodies)
