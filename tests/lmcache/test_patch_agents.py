# SPDX-License-Identifier: Apache-2.0
"""The patched LMCache 0.4.3 with agents that are shared, restarted, lost, full. A failure is a miss: no exception, no
wrong bytes, no wait beyond timeout_ms and what it takes to cancel, and hits again when the agent is back."""

import signal
import threading
import time

import lmc
import pytest

pytestmark = pytest.mark.lmcache("0.4.3")

MODES = {"dynamic": {"pool_size": 0}, "async": {"pool_size": 0, "nixl_async_put": True}, "static": {"pool_size": 48}}
TIMEOUT_MS = 3000
SLOWEST_SECONDS = 30  # of one call; timeout_ms and the grace are 6 s, the rest is for a machine that is busy


def config(address, mode, **more):
    return lmc.nixl_config(address, params={"timeout_ms": str(TIMEOUT_MS)}, **MODES[mode], **more)


# --- processes that share an agent ---


def store(line, address, mode, numbers, of):
    with lmc.nixl_store(config(address, mode), lmc.metadata(**of)) as there:
        there.put(lmc.keys(numbers, **of))
        assert there.get(lmc.keys(numbers, **of)) == [True] * len(numbers)


def find(line, address, mode, numbers, of):
    """How many there are, counted in each way that LMCache asks; all of them with the right bytes."""
    with lmc.nixl_store(config(address, mode), lmc.metadata(**of)) as there:
        wanted = lmc.keys(numbers, **of)
        count = there.backend.batched_contains(wanted)
        assert there.get(wanted) == [True] * count + [None] * (len(wanted) - count)
        assert there.contains_async(wanted) == count
        return count


def test_another_process_finds_what_was_stored(make_agent, run_patched):
    agent = make_agent(backend="dram")
    run_patched(store, agent.address, "async", range(10), {})
    assert run_patched(find, agent.address, "dynamic", range(12), {}) == 10
    assert run_patched(find, agent.address, "dynamic", range(12), {"worker": 1, "world": 2}) == 0
    assert run_patched(find, agent.address, "dynamic", range(12), {"model": "another/model"}) == 0
    assert run_patched(find, agent.address, "static", range(12), {}) == 0


def test_static_pools_of_two_processes_share_nothing(make_agent, start_patched):
    agent = make_agent(backend="dram")
    children = [start_patched(stay, agent.address, number) for number in range(2)]
    for what in ("stored", "right"):
        for child in children:
            child.hear(what)
            child.say("go on")
    for child in children:
        child.result()


def stay(line, address, number):
    with lmc.nixl_store(config(address, "static")) as there:
        mine = lmc.keys(range(number * 100, number * 100 + 10))
        there.put(mine)
        line.say("stored")
        line.hear("go on")
        assert there.get(mine) == [True] * 10
        line.say("right")
        line.hear("go on")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_objects_outlive_the_agent(make_agent, run_patched, end):
    agent = make_agent(backend="posix")
    run_patched(store, agent.address, "async", range(10), {})
    getattr(agent, end)()
    agent.start()
    assert run_patched(find, agent.address, "dynamic", range(12), {}) == 10


def through_the_manager(line, address, first):
    """The way of the engine: pages of LocalCPUBackend, copied to those of the transfers."""
    from lmcache.v1.event_manager import EventManager
    from lmcache.v1.storage_backend.storage_manager import StorageManager

    manager = StorageManager(config(address, "dynamic"), lmc.metadata(), EventManager())
    try:
        wanted = lmc.keys(range(6))
        cpu = lmc.Store(None, manager.loop, manager.allocator_backend)
        chosen = wanted[:2] if first else wanted
        assert manager.batched_contains(wanted)[0] == (0 if first else 2)
        manager.batched_put(chosen, cpu.pages(chosen))
        assert manager.batched_contains(wanted)[0] == len(chosen)
        for key, obj in zip(chosen, manager.batched_get(chosen, "NixlStorageBackend")):
            assert lmc.same(obj.tensor, key)
            obj.ref_count_down()
        assert manager.memcheck()
    finally:
        manager.close()


def test_manager_stores_the_missing_ones_under_their_keys(make_agent, run_patched):
    agent = make_agent(backend="dram")
    run_patched(through_the_manager, agent.address, True)
    run_patched(through_the_manager, agent.address, False)
    assert run_patched(find, agent.address, "dynamic", range(8), {}) == 6


# --- several agents ---


def be_worker(line, addresses, rank):
    cfg = lmc.nixl_config(None, nixl_endpoint_list=addresses, nixl_async_put=True)
    of = {"worker": rank, "world": 4}
    with lmc.nixl_store(cfg, lmc.metadata(**of)) as there:
        mine = lmc.keys(range(8), **of)
        there.put(mine)
        line.say("stored")
        line.hear("all stored")
        assert there.get(mine) == [True] * 8
        others = lmc.keys(range(8), worker=(rank + 2) % 4, world=4)  # of the worker on the same agent
        assert there.get(others) == [True] * 8
        assert there.get(lmc.keys(range(8), worker=(rank + 1) % 4, world=4)) == [None] * 8


def test_four_workers_on_two_agents(make_agent, start_patched, run_patched):
    agents = [make_agent(name="agent %d" % i, backend="dram") for i in range(2)]
    listed = [agents[0].address, {"dpu_addr": agents[1].address, "mode": "tcp"}]
    workers = [start_patched(be_worker, listed, rank) for rank in range(4)]
    for worker in workers:
        worker.hear("stored")
    for worker in workers:
        worker.say("all stored")
    for worker in workers:
        worker.result()
    for rank in range(4):
        for i, agent in enumerate(agents):
            found = run_patched(find, agent.address, "dynamic", range(8), {"worker": rank, "world": 4})
            assert found == (8 if rank % 2 == i else 0)


# --- agents that are lost ---


class Traffic:
    """Puts, gets and lookups of 24 keys, as an engine does: what is not there is computed and put."""

    def __init__(self, there, count=24):
        self.there = there
        self.count = count
        self.round = self.hits = self.misses = 0
        self.slowest = 0.0

    def timed(self, function, *arguments):
        begin = time.monotonic()
        try:
            return function(*arguments)
        finally:
            self.slowest = max(self.slowest, time.monotonic() - begin)

    def step(self):
        """The number of hits among four keys."""
        wanted = lmc.keys((self.round * 4 + i) % self.count for i in range(4))
        self.round += 1
        self.timed(self.there.backend.batched_contains, wanted)
        got = self.timed(self.there.get, wanted)
        missing = [key for key, hit in zip(wanted, got) if not hit]
        pages = self.there.backend.memory_allocator.free_blocks
        if missing and len(pages) >= len(missing):  # an engine finds none either while transfers are stuck
            self.timed(self.there.begin_put, missing)
        self.hits += len(wanted) - len(missing)
        self.misses += len(missing)
        return len(wanted) - len(missing)

    def all_hit(self):
        """Whether all keys came in a row."""
        return sum(self.step() for _ in range(self.count // 4)) == self.count


def live_through_a_loss(line, address, mode):
    with lmc.nixl_store(config(address, mode, pages=32)) as there:
        traffic = Traffic(there)
        lmc.until(traffic.all_hit, "hits")
        line.say("hits")
        while not line.connection.poll():
            traffic.step()
        line.hear("gone")
        misses = traffic.misses
        lmc.until(lambda: traffic.step() == 0 and traffic.misses > misses + 8, "misses")
        line.say("misses")
        while not line.connection.poll():
            traffic.step()
        line.hear("back")
        lmc.until(traffic.all_hit, "hits again")
        there.settle(lmc.keys(range(24)))
        assert not there.backend.progress_set
        return traffic.slowest


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend, way", [("posix", "kill"), ("dram", "kill"), ("dram", "stop")])
def test_traffic_goes_on_without_the_agent_and_with_it_again(make_agent, start_patched, backend, way, mode):
    agent = make_agent(backend=backend)
    child = start_patched(live_through_a_loss, agent.address, mode)
    child.hear("hits")
    if way == "kill":
        agent.kill()
    else:
        agent.send(signal.SIGSTOP)
    try:
        child.say("gone")
        child.hear("misses")
    finally:
        if way == "kill":
            agent.start()
        else:
            agent.send(signal.SIGCONT)
    child.say("back")
    assert child.result() < SLOWEST_SECONDS


def start_without(line, address):
    try:
        with lmc.backends(config(address, "dynamic")):
            return None
    except RuntimeError as exc:
        return str(exc)


def test_start_without_an_agent_names_it(make_agent, run_patched):
    agent = make_agent(backend="dram")
    agent.stop()
    said = run_patched(start_without, agent.address)
    assert agent.address in said
    agent.start()
    assert run_patched(start_without, agent.address) is None


# --- agents that are full ---


def more_than_fits(line, address, mode, count):
    """Hits of the second round over more than there is room for."""
    cfg = config(address, mode, pages=32)
    if mode == "static":
        cfg.extra_config["nixl_pool_size"] = count  # LMCache would keep all of them
    with lmc.nixl_store(cfg) as there:
        for begin in range(0, count, 16):
            there.put(lmc.keys(range(begin, begin + 16)))
        hits = 0
        for begin in range(0, count, 16):
            wanted = lmc.keys(range(begin, begin + 16))
            hits += there.get(wanted).count(True)  # wrong bytes fail
            there.backend.batched_contains(wanted)
        fresh = lmc.keys(range(count, count + 16))
        there.put(fresh)
        assert there.get(fresh) == [True] * 16
        return hits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", ["dram", "posix"])
def test_capacity_reached_during_traffic(make_agent, run_patched, backend, mode):
    count = 1024  # 16 MiB of objects
    agent = make_agent(backend=backend, options=("--capacity", "6M"))
    hits = run_patched(more_than_fits, agent.address, mode, count)
    assert 0 < hits < count


# --- puts and gets at once ---


def collide(line, address, mode):
    with lmc.nixl_store(config(address, mode, pages=64)) as there:
        stored = lmc.keys(range(8))
        there.put(stored)
        failures = []
        stop = threading.Event()

        def gets(number):
            try:
                while not stop.is_set():
                    assert there.get(stored) == [True] * 8
                    assert there.backend.batched_contains(stored) == 8
            except BaseException as exc:
                failures.append(exc)

        threads = [threading.Thread(target=gets, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for begin in range(100, 130, 6):  # static: within the pool, so that nothing is evicted
            fresh = lmc.keys(range(begin, begin + 6))
            there.begin_put(fresh)
            there.settle(fresh)
            assert there.get(fresh) == [True] * 6
        stop.set()
        for thread in threads:
            thread.join(lmc.WAIT_SECONDS)
        assert not failures, failures


@pytest.mark.parametrize("mode", ["async", "static"])
def test_puts_and_gets_at_once(make_agent, run_patched, mode):
    agent = make_agent(backend="dram", workers=2)
    run_patched(collide, agent.address, mode)
