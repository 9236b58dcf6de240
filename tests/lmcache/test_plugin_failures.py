# SPDX-License-Identifier: Apache-2.0
"""The storage plugin when something is wrong: with the agent (away, killed, stopped, full, of another store) or with
what it stored. Everything is a miss, nothing raises, nothing hangs, and hits come back by themselves."""

import os

import lmc
import pytest
from plugin_support import counters, plugin_store, stopped

pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")

WANTED = lmc.keys(range(48))
SMALL = {"max_local_cpu_size": 0.02}


def hits(store):
    return sum(hit is True for hit in store.get(WANTED))


# ---- away ----------------------------------------------------------------------------------------


def away_at_first(line, address):
    with plugin_store(address, usable=False) as store:
        backend = store.backend
        for _ in range(100):
            store.put(WANTED[:4])
            assert store.get(WANTED[:4]) == [None] * 4 and store.get_async(WANTED[:4]) == 0
            assert backend.batched_contains(WANTED[:4]) == 0 and store.contains_async(WANTED[:4]) == 0
            assert not backend.contains(WANTED[0]) and backend.get_blocking(WANTED[0]) is None
            assert backend.get_non_blocking(WANTED[0]) is None and not backend.remove(WANTED[0])
        line.say("missed")
        line.hear("there")
        assert backend.wait_usable(60)
        store.put(WANTED[:4])
        assert store.get(WANTED[:4]) == [True] * 4
        obj = backend.get_non_blocking(WANTED[1]).result(60)
        assert lmc.same(obj.tensor, WANTED[1])
        obj.ref_count_down()


def test_an_agent_that_comes_later(make_agent, start_plain):
    agent = make_agent(backend="dram")
    agent.stop()
    child = start_plain(away_at_first, agent.address)
    child.hear("missed")
    agent.start()
    child.say("there")
    child.result()
    assert child.log().count("cannot be used") <= 3, "the log repeats itself"


def wrong_function(line, address):
    with plugin_store(address, {"pci_addr": "0000:99:00.0"}, usable=False) as store:
        lmc.until(lambda: store.backend.agents[0].state.value == "connecting", "the first attempt")
        store.put(WANTED[:2])
        assert store.get(WANTED[:2]) == [None] * 2
        line.say("missed")
        line.hear("seen")


def test_a_pci_function_that_is_not_there(make_agent, start_plain):
    agent = make_agent(backend="dram")
    child = start_plain(wrong_function, agent.address)
    child.hear("missed")
    lmc.until(lambda: "cannot be used: " in child.log(), "a sentence in the log")
    child.say("seen")
    child.result()
    assert "0000:99:00.0" in child.log()


# ---- killed and started again ----------------------------------------------------------------------


def traffic_over_a_restart(line, address):
    """Reads and writes all the time. True for a turn in which everything came."""
    with plugin_store(address, config=SMALL) as store:
        store.put(WANTED)
        assert hits(store) == len(WANTED) == store.get_async(WANTED)
        line.say("stored")
        missed = 0
        while missed < 3:  # until it is killed
            missed += hits(store) == 0
            store.put(WANTED[:8])
        line.say("missed")
        # No help: it has to connect again, and register its memory again, by itself.
        back = store.backend.wait_usable(60)
        assert back
        found = store.backend.batched_contains(WANTED)
        first = hits(store)
        store.put(WANTED)
        assert hits(store) == len(WANTED)
        return found, first


@pytest.mark.parametrize("backend", ["posix", "dram"])
def test_an_agent_that_is_killed_during_traffic(make_agent, start_plain, backend):
    agent = make_agent(backend=backend)
    child = start_plain(traffic_over_a_restart, agent.address)
    child.hear("stored")
    agent.kill()
    child.hear("missed")
    agent.start()
    found, first = child.result()
    if backend == "posix":
        # A put that was cut off may have taken its object with it; no other one is gone.
        assert first >= len(WANTED) - 8
    else:
        assert (found, first) == (0, 0), "what was in memory is gone"


# ---- stopped -------------------------------------------------------------------------------------


def while_stopped(line, address):
    options = {"timeout_ms": 1500, "lookup_timeout_ms": 500}
    with plugin_store(address, options, SMALL) as store:
        store.put(WANTED)
        assert hits(store) == len(WANTED)
        line.say("stored")
        line.hear("stopped")
        for turn in range(300):  # if each of them waited, this would take minutes
            assert store.backend.batched_contains(WANTED) == 0
            assert hits(store) == 0 and store.get_async(WANTED) == 0
            if turn % 100 == 0:
                store.begin_put(WANTED[:4])
        assert counters(store)["timeouts"] < 20
        line.say("missed")
        lmc.until(lambda: store.backend.agents[0].usable(), "the agent to be asked again")
        lmc.until(lambda: hits(store) == len(WANTED), "hits to come back")
        store.put(WANTED)
        assert store.get_async(WANTED) == len(WANTED)


@pytest.mark.parametrize("backend", ["dram", "posix"])
def test_an_agent_that_is_stopped(make_agent, start_plain, backend):
    agent = make_agent(backend=backend)
    child = start_plain(while_stopped, agent.address)
    child.hear("stored")
    with stopped(agent):
        child.say("stopped")
        child.hear("missed")
    child.result()


def stopped_while(line, address, what):
    """The agent stops before one operation: that one ends too."""
    with plugin_store(address, {"timeout_ms": 800, "lookup_timeout_ms": 400, "async_put": what != "put"}, SMALL) as store:
        store.put(WANTED)
        line.say("stored")
        line.hear("stopped")
        if what == "get":
            assert hits(store) == 0
        elif what == "async get":
            assert store.get_async(WANTED) == 0
        elif what == "contains":
            assert store.contains_async(WANTED) == 0
        elif what == "remove":
            assert store.backend.batched_remove(WANTED) == 0
        else:
            store.begin_put(WANTED)
        line.say("ended")
        line.hear("goes on")


@pytest.mark.parametrize("what", ["get", "async get", "contains", "remove", "put"])
def test_every_call_ends_though_the_agent_is_stopped(make_agent, start_plain, what):
    agent = make_agent(backend="dram")
    child = start_plain(stopped_while, agent.address, what)
    child.hear("stored")
    with stopped(agent):
        child.say("stopped")
        child.hear("ended")
    child.say("goes on")
    child.result()


def close_while_stopped(line, address):
    """With puts under way, and in LMCache's order: the pool goes first."""
    with lmc.event_loop() as loop:
        from lmcache.v1.storage_backend import CreateStorageBackends
        from plugin_support import plugin_config

        made = CreateStorageBackends(plugin_config(address, {"timeout_ms": 800, "lookup_timeout_ms": 400}),
                                     lmc.metadata(), loop, "cpu")
        backend = made["bluecache"]
        assert backend.wait_usable(30)
        store = lmc.Store(backend, loop, made["LocalCPUBackend"])
        line.say("ready")
        line.hear("stopped")
        store.begin_put(WANTED[:16])
        made["LocalCPUBackend"].close()
        backend.close()
        backend.close()
        assert backend.get_each(WANTED[:2]) == [None] * 2 and not backend.contains(WANTED[0])
        line.say("closed")


def test_close_ends_though_the_agent_is_stopped(make_agent, start_plain):
    agent = make_agent(backend="dram")
    child = start_plain(close_while_stopped, agent.address)
    child.hear("ready")
    with stopped(agent):
        child.say("stopped")
        child.hear("closed")
        child.result()


# ---- full ----------------------------------------------------------------------------------------


def over_capacity(line, address):
    """Four times what the store holds: what is there is right, what is not is a miss, and the newest are there."""
    wanted = lmc.keys(range(600))
    with plugin_store(address, config=SMALL) as store:
        for begin in range(0, len(wanted), 40):
            store.put(wanted[begin:begin + 40])
            got = store.get(wanted[begin:begin + 40])
            assert set(got) <= {True, None} and True in got
            store.get(wanted[:40])
        kept = [key for key in wanted if store.backend.contains(key)]
        assert 20 <= len(kept) < 400 and store.get(kept) == [True] * len(kept)
        assert wanted[-1] in kept


@pytest.mark.parametrize("backend", ["dram", "posix"])
def test_more_than_the_store_holds(make_agent, run_plain, backend):
    agent = make_agent(backend=backend, memory_mb=32, options=["--capacity", "4M"])
    run_plain(over_capacity, agent.address)


# ---- damaged -------------------------------------------------------------------------------------


def store_some(line, address):
    with plugin_store(address) as store:
        store.put(WANTED[:8])


def read_some(line, address):
    with plugin_store(address) as store:
        return [store.backend.contains(key) for key in WANTED[:8]], store.get(WANTED[:8]), store.get(WANTED[:8])


@pytest.mark.parametrize("at", [100, 1024 + 8000], ids=["in the header", "in the KV"])
def test_a_flipped_bit_in_the_store_is_a_miss(make_agent, run_plain, at):
    agent = make_agent(backend="posix")
    run_plain(store_some, agent.address)
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(agent.root / "objects") for name in names]
    assert len(paths) >= 8
    broken = 0
    for path in sorted(paths)[:3]:
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 4]))
            broken += 1
    found, first, second = run_plain(read_some, agent.address)
    assert found == [True] * 8, "nobody has read it yet"
    assert first == second and first.count(None) == broken and first.count(True) == 8 - broken
