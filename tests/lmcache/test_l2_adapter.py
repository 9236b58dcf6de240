# SPDX-License-Identifier: Apache-2.0
"""The L2 adapter of LMCache's multi-process server, made by LMCache's own factory: store, look up, load, delete, and
what its controllers rely on: descriptors, results that are told once, memory that is left alone."""

import contextlib
import json
import os
import select

import lmc
import pytest
import torch
from plugin_support import USABLE_SECONDS, stopped

pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")

LENGTH = 40960
COUNT = 16


@pytest.fixture
def agent(make_agent):
    return make_agent(backend="dram")


# ---- inside the processes --------------------------------------------------------------------------


def object_keys(numbers, rank=0, world=2, model="test/model"):
    from lmcache.v1.distributed.api import ObjectKey

    return [ObjectKey(number.to_bytes(4, "big"), model, ObjectKey.ComputeKVRank(world, rank, world, rank))
            for number in numbers]


def content(key):
    generator = torch.Generator().manual_seed(int.from_bytes(key.chunk_hash, "big") + key.kv_rank)
    return torch.randint(0, 256, (LENGTH,), dtype=torch.uint8, generator=generator)


class Arena:
    """L1 memory, cut into objects of one layout."""

    def __init__(self, count):
        from lmcache.v1.distributed.internal_api import L1MemoryDesc

        self.buffer = torch.zeros(count * LENGTH, dtype=torch.uint8)
        self.desc = L1MemoryDesc(self.buffer.data_ptr(), self.buffer.numel(), 4096)

    def objects(self, count, shape=(2, 2, 16, 320), dtype=torch.bfloat16):
        from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj

        size = torch.Size(shape)
        assert size.numel() * dtype.itemsize <= LENGTH
        return [TensorMemoryObj(self.buffer[index * LENGTH:index * LENGTH + size.numel() * dtype.itemsize],
                                MemoryObjMetadata(size, dtype, index * LENGTH, LENGTH, 1, 0, MemoryFormat.KV_2LTD,
                                                  shapes=[size], dtypes=[dtype]), None) for index in range(count)]


class Driver:
    """Calls the adapter as the server's controllers do: submit, sleep on the descriptor, ask."""

    def __init__(self, adapter):
        self.adapter = adapter

    @staticmethod
    def sleep(fd):
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(60000), "the descriptor was not signalled"
        os.eventfd_read(fd)

    def store(self, keys, objects):
        """(whether it succeeded, bytes if that is told)"""
        task = self.adapter.submit_store_task(keys, objects)
        self.sleep(self.adapter.get_store_event_fd())
        done = self.adapter.pop_completed_store_tasks()
        assert list(done) == [task] and self.adapter.pop_completed_store_tasks() == {}
        result = done[task]
        return (result, None) if isinstance(result, bool) else (result.is_successful(), result.bytes_transferred())

    def lookup(self, keys):
        arguments = (keys,) if "0.4" in lmcache_version() else (keys, {})
        task = self.adapter.submit_lookup_and_lock_task(*arguments)
        self.sleep(self.adapter.get_lookup_and_lock_event_fd())
        return self.bits(self.adapter.query_lookup_and_lock_result, task, len(keys))

    def load(self, keys, objects):
        task = self.adapter.submit_load_task(keys, objects)
        self.sleep(self.adapter.get_load_event_fd())
        return self.bits(self.adapter.query_load_result, task, len(keys))

    @staticmethod
    def bits(query, task, count):
        bitmap = query(task)
        assert bitmap is not None and query(task) is None, "a result is told once"
        return [bitmap.test(index) for index in range(count)]


def lmcache_version():
    import importlib.metadata

    return importlib.metadata.version("lmcache")


@contextlib.contextmanager
def driver(address, arena=None, usable=True, **options):
    """Through LMCache's factory, from the JSON that its command line takes."""
    from lmcache.v1.distributed.l2_adapters import create_l2_adapter
    from lmcache.v1.distributed.l2_adapters.plugin_l2_adapter import PluginL2AdapterConfig

    where = {"endpoint_list": address} if isinstance(address, list) else {"dpu_addr": address}
    text = json.dumps({"type": "plugin", "module_path": "bluecache.lmcache", "class_name": "BlueCacheL2Adapter",
                       "adapter_params": {"timeout_ms": 10000, "lookup_timeout_ms": 10000, **where, **options}})
    adapter = create_l2_adapter(PluginL2AdapterConfig.from_dict(json.loads(text)), arena and arena.desc)
    try:
        if usable:
            assert adapter.wait_usable(USABLE_SECONDS)
        yield Driver(adapter)
    finally:
        adapter.close()
        adapter.close()


def fill(keys, objects):
    for key, obj in zip(keys, objects):
        obj.raw_data.copy_(content(key)[:obj.get_size()])


def right(keys, objects):
    return all(torch.equal(obj.raw_data, content(key)[:obj.get_size()]) for key, obj in zip(keys, objects))


# ---- tests ---------------------------------------------------------------------------------------


def round_trip(line, address, options):
    arena = Arena(COUNT)
    with driver(address, arena, **options) as it:
        fds = {it.adapter.get_store_event_fd(), it.adapter.get_lookup_and_lock_event_fd(), it.adapter.get_load_event_fd()}
        assert len(fds) == 3
        keys, objects = object_keys(range(COUNT)), arena.objects(COUNT)
        assert it.lookup(keys) == [False] * COUNT and it.load(keys, objects) == [False] * COUNT
        fill(keys[:10], objects)
        done, length = it.store(keys[:10], objects[:10])
        assert done and length in (None, 10 * objects[0].get_size())
        assert it.lookup(keys) == [True] * 10 + [False] * 6
        it.adapter.submit_unlock(keys)
        arena.buffer.zero_()
        mixed = [keys[12], keys[3], keys[0], keys[15], keys[9]]
        assert it.load(mixed, objects[:5]) == [False, True, True, False, True]
        assert right([keys[3], keys[0], keys[9]], [objects[1], objects[2], objects[4]])
        assert it.load(keys[:10], objects[:10]) == [True] * 10 and right(keys[:10], objects)
        assert it.adapter.query_load_result(999) is None and it.adapter.query_lookup_and_lock_result(999) is None
        it.adapter.delete(keys[:4])
        assert it.lookup(keys[:10]) == [False] * 4 + [True] * 6
        status = it.adapter.report_status()
        assert status["is_healthy"] and set(status["agents"].values()) == {"ready"}
        assert status["counters"]["puts"] == 10 and status["counters"]["regions_extra"] == 0
        told = it.adapter.get_usage()
        if not isinstance(told, tuple):
            assert told.total_bytes_used == 6 * objects[0].get_size() and told.usage_fraction == -1.0


def test_store_look_up_load_delete(agent, run_plain):
    run_plain(round_trip, agent.address, {})


def test_on_two_agents(make_agent, run_plain):
    addresses = [make_agent("agent %d" % number, backend="dram").address for number in range(2)]
    run_plain(round_trip, addresses, {})
    kept = [run_plain(which, address) for address in addresses]
    assert all(kept), "both have some"
    assert sorted(kept[0] + kept[1]) == list(range(4, 10)), "each object is at one of them"
    run_plain(find_all, list(reversed(addresses)))


def which(line, address):
    with driver(address) as it:
        return [number for number, found in enumerate(it.lookup(object_keys(range(COUNT)))) if found]


def find_all(line, addresses):
    arena = Arena(COUNT)
    with driver(addresses, arena) as it:
        keys = object_keys(range(4, 10))
        assert it.lookup(keys) == [True] * 6
        assert it.load(keys, arena.objects(6)) == [True] * 6 and right(keys, arena.objects(6))


def layouts(line, address):
    """Loaded to memory of another layout it is a miss; and keys that differ do not meet."""
    arena = Arena(COUNT)
    with driver(address, arena) as it:
        keys, objects = object_keys(range(2)), arena.objects(2)
        fill(keys, objects)
        assert it.store(keys, objects)[0]
        for shape, dtype in (((2, 2, 8, 320), torch.bfloat16), ((2, 2, 16, 320), torch.float16), ((2, 1, 16, 640), torch.bfloat16)):
            other = arena.objects(2, shape, dtype)
            assert it.load(keys, other) == [False] * 2, shape
        for others in (object_keys(range(2), rank=1), object_keys(range(2), world=4), object_keys(range(2), model="m")):
            assert it.lookup(others) == [False] * 2
        assert it.load(keys, objects) == [True] * 2 and right(keys, objects)


def test_layouts_and_keys_that_differ(agent, run_plain):
    run_plain(layouts, agent.address)


def narrowed(line, address):
    """A serialized form fills its buffer only in part."""
    arena = Arena(COUNT)
    objects = arena.objects(2, (LENGTH,), torch.uint8)
    if not hasattr(objects[0], "set_used_size"):
        return
    with driver(address, arena) as it:
        keys = object_keys(range(2))
        fill(keys, objects)
        objects[0].set_used_size(1000)
        done, length = it.store(keys, objects)
        assert done and length == 1000 + LENGTH
        arena.buffer.zero_()
        objects = arena.objects(2, (LENGTH,), torch.uint8)
        assert it.load(keys, objects) == [True] * 2
        assert [obj.get_size() for obj in objects] == [1000, LENGTH]
        assert torch.equal(objects[0].raw_data[:1000], content(keys[0])[:1000])
        assert not objects[0].raw_data[1000:].any()


def test_objects_that_are_not_full(agent, run_plain):
    run_plain(narrowed, agent.address)


def listeners(line, address):
    arena = Arena(COUNT)
    with driver(address, arena) as it:
        from lmcache.v1.distributed.internal_api import L2AdapterListener

        class Listener(L2AdapterListener):
            def __init__(self):
                self.told = []

            def on_l2_keys_stored(self, keys, sizes=None):
                self.told.append(("stored", len(keys)))

            def on_l2_keys_accessed(self, keys):
                self.told.append(("accessed", len(keys)))

            def on_l2_keys_deleted(self, keys):
                self.told.append(("deleted", len(keys)))

        listener = Listener()
        it.adapter.register_listener(listener)
        keys, objects = object_keys(range(4)), arena.objects(4)
        fill(keys, objects)
        it.store(keys, objects)
        it.store(keys, objects)  # the same again takes no more room
        it.load(keys, objects)
        it.adapter.delete(keys[:3])
        assert listener.told == [("stored", 4), ("accessed", 4), ("deleted", 3)]
        with driver(address) as other:
            other.adapter.delete(keys[3:])
        it.adapter.delete(keys)  # the last one was accounted for here, though it is gone; of the others it was told
        assert listener.told[3:] == [("deleted", 1)]
        it.adapter.delete(keys)
        it.adapter.close()
        it.adapter.delete(keys)
        assert len(listener.told) == 4


def test_listeners_are_told(agent, run_plain):
    run_plain(listeners, agent.address)


def without_agent(line, address):
    arena = Arena(COUNT)
    with driver(address, arena, usable=False) as it:
        keys, objects = object_keys(range(4)), arena.objects(4)
        for _ in range(50):
            assert it.store(keys, objects)[0] is False
            assert it.lookup(keys) == [False] * 4 and it.load(keys, objects) == [False] * 4
            it.adapter.delete(keys)
        status = it.adapter.report_status()
        assert status["is_healthy"] and status["agents"] == {address: "connecting"}


def test_without_an_agent(run_plain):
    run_plain(without_agent, "127.0.0.1:1")


def lost_and_stopped(line, address):
    arena = Arena(COUNT)
    with driver(address, arena, timeout_ms=1000, lookup_timeout_ms=400) as it:
        keys, objects = object_keys(range(COUNT)), arena.objects(COUNT)
        fill(keys, objects)
        assert it.store(keys, objects)[0]
        line.say("stored")
        line.hear("stopped")
        for _ in range(50):
            assert it.load(keys, objects) == [False] * COUNT
            assert it.lookup(keys) == [False] * COUNT
            assert it.store(keys, objects)[0] is False
        assert it.adapter.report_status()["counters"]["timeouts"] < 20
        line.say("missed")
        line.hear("goes on")
        assert it.adapter.wait_usable(60)
        arena.buffer.zero_()
        lmc.until(lambda: all(it.load(keys, objects)), "hits to come back")
        assert right(keys, objects)
        line.say("back")
        line.hear("killed")
        lmc.until(lambda: not it.adapter.agents[0].usable(), "the loss to be noticed")
        assert it.lookup(keys) == [False] * COUNT and it.load(keys, objects) == [False] * COUNT
        assert it.adapter.report_status()["agents"][address] == "lost"


def test_with_an_agent_that_is_stopped_then_lost(make_agent, start_plain):
    agent = make_agent(backend="dram")
    child = start_plain(lost_and_stopped, agent.address)
    child.hear("stored")
    with stopped(agent):
        child.say("stopped")
        child.hear("missed")
    child.say("goes on")
    child.hear("back")
    agent.kill()
    child.say("killed")
    child.result()


def many_tasks(line, address):
    """Stores, look-ups and loads of several threads at once."""
    import threading

    arena = Arena(4 * COUNT)
    with driver(address, arena) as it:
        objects = arena.objects(4 * COUNT)
        tasks, keys = {}, {}
        for part in range(4):
            keys[part] = object_keys(range(100 * part, 100 * part + COUNT))
            fill(keys[part], objects[part * COUNT:])
            tasks[it.adapter.submit_store_task(keys[part], objects[part * COUNT:(part + 1) * COUNT])] = part
        done = {}
        while len(done) < 4:
            it.sleep(it.adapter.get_store_event_fd())
            done.update(it.adapter.pop_completed_store_tasks())
        assert set(done) == set(tasks)
        arena.buffer.zero_()
        results, lock = {}, threading.Lock()

        def load(part):
            task = it.adapter.submit_load_task(keys[part], objects[part * COUNT:(part + 1) * COUNT])
            found = []
            _until_result(it.adapter, task, found)
            with lock:
                results[part] = [found[0].test(index) for index in range(COUNT)]

        threads = [threading.Thread(target=load, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert results == {part: [True] * COUNT for part in range(4)}
        assert all(right(keys[part], objects[part * COUNT:]) for part in range(4))


def _until_result(adapter, task, found):
    def there():
        result = adapter.query_load_result(task)
        if result is not None:
            found.append(result)
        return bool(found)

    lmc.until(there, "a load")


def test_many_tasks_at_once(agent, run_plain):
    run_plain(many_tasks, agent.address)


def bad_options(line):
    from lmcache.v1.distributed.l2_adapters import create_l2_adapter
    from lmcache.v1.distributed.l2_adapters.plugin_l2_adapter import PluginL2AdapterConfig

    config = PluginL2AdapterConfig.from_dict({
        "module_path": "bluecache.lmcache", "class_name": "BlueCacheL2Adapter", "adapter_params": {"dpu_adr": "x"}})
    try:
        create_l2_adapter(config)
    except ValueError as error:
        return str(error)


def test_unknown_options_are_refused(run_plain):
    assert "unknown option dpu_adr" in run_plain(bad_options)
