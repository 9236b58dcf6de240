# SPDX-License-Identifier: Apache-2.0
"""Reference counts of LMCache's memory objects: one more while the agent may read or write, and given back exactly
once, whatever happens. And puts and gets that meet."""

import asyncio
import dataclasses
import threading

import lmc
from lmcache.v1.cache_engine import LMCacheEngine
import pytest
import torch
from plugin_support import counters, plugin_config, plugin_store

pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")


@pytest.fixture
def agent(make_agent):
    return make_agent(backend="dram")


class Watched:
    """Pages whose reference counts are written down when they change."""

    def __init__(self, store, wanted):
        self.objs = store.pages(wanted)
        self.most = [obj.get_ref_count() for obj in self.objs]
        self.ups, self.downs = [0] * len(self.objs), [0] * len(self.objs)
        for index, obj in enumerate(self.objs):
            self._watch(index, obj)

    def _watch(self, index, obj):
        up, down = obj.ref_count_up, obj.ref_count_down

        def count_up():
            up()
            self.ups[index] += 1
            self.most[index] = max(self.most[index], obj.get_ref_count())

        def count_down():
            self.downs[index] += 1
            down()

        obj.ref_count_up, obj.ref_count_down = count_up, count_down

    @property
    def counts(self):
        return [obj.get_ref_count() for obj in self.objs]

    def drop(self):
        for obj in self.objs:
            del obj.ref_count_up, obj.ref_count_down
            obj.ref_count_down()


def put(store, wanted, filled=None):
    """(ups, downs) of each page; exactly ours is left at the end. filled: the keys that the pages are filled for, if
    others than they are put under."""
    watched = Watched(store, filled or wanted)
    store.backend.batched_submit_put_task(wanted, watched.objs)
    store.settle(filled or wanted)
    lmc.until(lambda: watched.counts == [1] * len(wanted), "references to be given back")
    told = list(zip(watched.ups, watched.downs))
    watched.drop()
    return told


def each_put(line, address):
    wanted = lmc.keys(range(4))
    with plugin_store(address) as store:
        assert put(store, wanted) == [(1, 1)] * 4
        assert put(store, wanted) == [(1, 1)] * 4  # what is there already is written again
        assert put(store, [wanted[0], wanted[1], wanted[0]])[:2] == [(1, 1)] * 2  # a key twice is put once
        assert counters(store)["puts_skipped"] == 1
        objs = store.backend.get_each(wanted + lmc.keys([77]))
        assert [obj and obj.get_ref_count() for obj in objs] == [1] * 4 + [None]
        for obj in objs[:4]:
            obj.ref_count_down()
        store.backend.batched_submit_put_task(wanted, _broken(store, wanted))
        assert counters(store)["puts_dropped_unsupported"] == 4
        nameless = dataclasses.replace(wanted[2], chunk_hash="no number")
        assert put(store, [wanted[0], nameless, wanted[1]], wanted[:3]) == [(1, 1), (0, 0), (1, 1)]
        assert counters(store)["puts_dropped_unsupported"] == 5
        assert not any(store.backend.exists_in_put_tasks(key) for key in wanted)


def _broken(store, wanted):
    """Pages that cannot be told about."""

    class Broken:
        meta = property(lambda self: (_ for _ in ()).throw(RuntimeError("a bug")))

        def __init__(self, obj):
            self.raw_data, self.get_size = obj.raw_data, obj.get_size

    objs = store.pages(wanted)
    broken = [Broken(obj) for obj in objs]
    for obj in objs:
        obj.ref_count_down()
    return broken


def test_each_put_takes_and_gives_back_one_reference(agent, run_plain):
    run_plain(each_put, agent.address)


def away(line, address):
    wanted = lmc.keys(range(4))
    with plugin_store(address, usable=False) as store:
        assert put(store, wanted) == [(1, 1)] * 4
        assert store.get(wanted) == [None] * 4
        assert counters(store) == {"puts_dropped_away": 4}


def test_without_an_agent(run_plain):
    run_plain(away, "127.0.0.1:1")


def lost(line, address):
    """The agent is killed while puts and gets are under way: references come back all the same."""
    wanted = lmc.keys(range(64))
    with plugin_store(address, config={"max_local_cpu_size": 0.02}) as store:
        store.put(wanted[:32])
        line.say("ready")
        for _ in range(3):
            put(store, wanted[32:])
            store.get(wanted[:32])
            store.get_async(wanted[:32])
        line.hear("killed")
        assert put(store, wanted) == [(1, 1)] * 64
        assert store.get(wanted) == [None] * 64 and store.get_async(wanted) == 0
        assert store.backend.batched_contains(wanted) == 0


def test_with_an_agent_that_is_lost(make_agent, start_plain):
    agent = make_agent(backend="dram")
    child = start_plain(lost, agent.address)
    child.hear("ready")
    agent.kill()
    child.say("killed")
    child.result()


def refused(line, address):
    """An agent that has room for nothing of this size."""
    wanted = lmc.keys(range(300))
    with plugin_store(address, config={"max_local_cpu_size": 0.02}) as store:
        for begin in range(0, 300, 30):
            assert put(store, wanted[begin:begin + 30]) == [(1, 1)] * 30
        told = counters(store)
        assert told.get("puts", 0) + told.get("puts_failed", 0) == 300
        found = [key for key in wanted if store.backend.contains(key)]
        assert 0 < len(found) < 300
        assert store.get(found) == [True] * len(found)


def test_with_an_agent_that_is_full(make_agent, run_plain):
    run_plain(refused, make_agent(backend="dram", memory_mb=32, options=["--capacity", "2M"]).address)


def full_queue(line, address):
    """Of more than put_queue_mb, the first ones are stored and the others given back."""
    wanted = lmc.keys(range(100))
    with plugin_store(address, {"put_queue_mb": 1}, {"max_local_cpu_size": 0.02}) as store:
        assert put(store, wanted) == [(1, 1)] * 100
        told = counters(store)
        assert told["puts"] == (1 << 20) // lmc.PAGE and told["puts_dropped_full"] == 100 - told["puts"]
        assert store.backend.batched_contains(wanted) == told["puts"]
        assert put(store, wanted[70:]) == [(1, 1)] * 30
        assert store.backend.contains(wanted[99])


def test_with_a_full_queue(agent, run_plain):
    run_plain(full_queue, agent.address)


def no_memory(line, address):
    """A get that finds no room in the pool takes what it can, from the first on."""
    wanted = lmc.keys(range(12))
    with plugin_store(address, {"lookup_timeout_ms": 50}) as store:
        store.put(wanted)
        held = []
        while (obj := store.local_cpu.allocate(lmc.SHAPE, lmc.DTYPE, busy_loop=False)) is not None:
            held.append(obj)
        for obj in held[:5]:
            obj.ref_count_down()
        assert store.get(wanted) == [True] * 5 + [None] * 7
        assert store.get_async(wanted) == 5
        assert counters(store)["gets_no_memory"] == 14
        for obj in held[5:]:
            obj.ref_count_down()
        assert store.get(wanted) == [True] * 12


def test_a_get_without_room(agent, run_plain):
    run_plain(no_memory, agent.address)


def cancelled(line, address):
    """The coroutine of a get is cancelled at any moment: plugin_store looks that the memory comes back."""
    wanted = lmc.keys(range(32))
    with plugin_store(address, config={"max_local_cpu_size": 0.02}) as store:
        store.put(wanted)

        async def cancel_after(turns):
            task = asyncio.ensure_future(store.backend.batched_get_non_blocking("lookup", wanted))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                return []

        for turns in range(12):
            for obj in asyncio.run_coroutine_threadsafe(cancel_after(turns), store.loop).result(60):
                obj.ref_count_down()
        assert store.get_async(wanted) == 32


def test_a_get_that_is_cancelled(agent, run_plain):
    run_plain(cancelled, agent.address)


def collide(line, address):
    """Readers while the same keys are put again and again, and removed: what comes is whole."""
    wanted = lmc.keys(range(24))
    with plugin_store(address, config={"max_local_cpu_size": 0.03}) as store:
        stop, failures, hits = threading.Event(), [], [0]

        def read(how):
            try:
                while not stop.is_set():
                    hits[0] += how()
            except BaseException as error:
                failures.append(error)
                raise

        def blocking():
            return sum(hit is True for hit in store.get(wanted))

        threads = [threading.Thread(target=read, args=(how,))
                   for how in (blocking, blocking, lambda: store.get_async(wanted))]
        for thread in threads:
            thread.start()
        for turn in range(40):
            store.put(wanted)
            if turn % 4 == 3:
                store.backend.batched_remove(wanted[::2])
        stop.set()
        for thread in threads:
            thread.join(60)
        assert not failures and hits[0] > 0, failures


@pytest.mark.parametrize("backend", ["dram", "posix"])
def test_puts_and_gets_of_the_same_keys_meet(make_agent, run_plain, backend):
    run_plain(collide, make_agent(backend=backend).address)


def callbacks(line, address):
    wanted = lmc.keys(range(6))
    with plugin_store(address) as store:
        told = []
        store.put(wanted, on_complete_callback=told.append)
        lmc.until(lambda: len(told) == 6, "six callbacks")
        assert set(map(str, told)) == set(map(str, wanted))

        def broken(key):
            raise RuntimeError("a bug of the engine's")

        store.put(wanted, on_complete_callback=broken)
    with plugin_store(address, {"async_put": False}) as store:
        objs = store.pages(wanted)
        store.backend.batched_submit_put_task(wanted, objs, on_complete_callback=told.append)
        assert len(told) == 12 and [obj.get_ref_count() for obj in objs] == [1] * 6
        for obj in objs:
            obj.ref_count_down()


def test_callbacks(agent, run_plain):
    run_plain(callbacks, agent.address)


def scheduler(line, address):
    """In the scheduler's process there is no pool: it looks up, and stores and gets nothing."""
    made = lmc.metadata()
    made.role = "scheduler"
    with lmc.backends(plugin_config(address), made) as (backends, _):
        assert list(backends) == ["bluecache"]
        backend = backends["bluecache"]
        assert backend.wait_usable(30) and backend.get_allocator_backend() is None
        assert backend.batched_contains(lmc.keys(range(4))) == 3
        assert backend.get_each(lmc.keys(range(4))) == [None] * 4


def put_three(line, address):
    with plugin_store(address) as store:
        store.put(lmc.keys(range(3)))


def test_the_schedulers_process_looks_up(agent, run_plain):
    run_plain(put_three, agent.address)
    run_plain(scheduler, agent.address)



class EngineWith:
    """LMCache's engine as far as its retrieve decides what was loaded. blocks: what each backend is asked for."""

    def __init__(self, backend, blocks):
        self.storage_manager = self.token_database = self
        self.lookup_pins, self.remove_after_retrieve = {}, False
        self._backend, self._blocks = backend, blocks

    def process_tokens(self, **_):
        return [(start, end, key) for blocks in self._blocks.values() for key, start, end in blocks]

    def get_block_mapping(self, _):
        return self._blocks

    def batched_get(self, keys, location):
        return self._backend.batched_get_blocking(keys) or [None] * len(keys)

    def retrieve(self):
        """The keys that it loads, and those that it says it loaded."""
        mask = torch.zeros(lmc.CHUNK * 5, dtype=torch.bool)
        loaded, _ = LMCacheEngine._process_tokens_internal(self, [], None, mask)
        for _, obj, _, _ in loaded:
            assert obj.get_ref_count() == 1
            obj.ref_count_down()
        return [chunk[0] for chunk in loaded], [
            key for blocks in self._blocks.values() for key, start, end in blocks if bool(mask[start:end].all())]


def load_around_a_miss(line, address):
    with plugin_store(address) as store:
        wanted = lmc.keys(range(5))
        put(store, wanted[:2] + wanted[3:])
        chunks = [(key, lmc.CHUNK * index, lmc.CHUNK * (index + 1)) for index, key in enumerate(wanted)]
        for blocks in ({"bluecache": chunks}, {"another": chunks[:2], "bluecache": chunks[2:]}):
            loaded, told = EngineWith(store.backend, blocks).retrieve()
            assert loaded == told == wanted[:2]


def test_engine_says_that_it_loaded_what_it_loaded(agent, run_plain):
    """An object that was evicted after the look-up must not spoil the one before it: LMCache 0.4.3 drops that as well,
    and computes as if it were there, when it gets a None."""
    run_plain(load_around_a_miss, agent.address)
