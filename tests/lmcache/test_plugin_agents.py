# SPDX-License-Identifier: Apache-2.0
"""Several LMCache processes and several agents: who shares what, where workers write, and that hits survive when a
worker comes to another agent."""

import lmc
import pytest
from plugin_support import counters, plugin_store

pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")

WORKERS = 4


def chunk_keys(worker, numbers, world=WORKERS):
    return lmc.keys(numbers, worker=worker, world=world)


# ---- two processes, one agent ----------------------------------------------------------------------


def writer(line, address):
    with plugin_store(address, {"presence_cache": True}) as store:
        store.put(lmc.keys(range(10)))
        line.say("stored")
        line.hear("stored too")
        assert store.get(lmc.keys(range(20))) == [True] * 20
        line.say("read")
        line.hear("removed")
        assert store.backend.batched_contains(lmc.keys(range(10))) == 10, "remembered, rightly or wrongly"
        assert store.get(lmc.keys(range(10))) == [None] * 5 + [True] * 5
        assert store.backend.batched_contains(lmc.keys(range(10))) == 0, "a miss makes it forget"
        assert store.backend.batched_contains(lmc.keys(range(5, 10))) == 5


def reader(line, address):
    with plugin_store(address) as store:
        assert store.backend.batched_contains(lmc.keys(range(12))) == 10
        assert store.get(lmc.keys(range(12))) == [True] * 10 + [None] * 2
        store.put(lmc.keys(range(10, 20)))
        line.say("stored too")
        line.hear("remove")
        assert store.backend.batched_remove(lmc.keys(range(5)) + lmc.keys([99])) == 5
        line.say("removed")


def test_two_processes_share_one_agent(make_agent, start_plain):
    agent = make_agent(backend="dram")
    first = start_plain(writer, agent.address)
    first.hear("stored")
    second = start_plain(reader, agent.address)
    second.hear("stored too")
    first.say("stored too")
    first.hear("read")
    second.say("remove")
    second.hear("removed")
    first.say("removed")
    first.result()
    second.result()


def remembered(line, address):
    """With a presence cache of four keys."""
    with plugin_store(address, {"presence_cache": True, "presence_cache_keys": 4}) as store:
        wanted = lmc.keys(range(6))
        store.put(wanted)
        before = counters(store).get("lookups_remembered", 0)
        assert store.backend.batched_contains(wanted[2:]) == 4
        assert counters(store)["lookups_remembered"] == before + 4
        assert store.backend.batched_contains(wanted) == 6
        assert store.get(wanted) == [True] * 6


def test_a_presence_cache_is_bounded(make_agent, run_plain):
    run_plain(remembered, make_agent(backend="dram").address)


# ---- four workers, two agents ------------------------------------------------------------------------


def work(line, addresses, worker, numbers, options):
    """One tensor-parallel rank: stores its share of the chunks."""
    with plugin_store(addresses, options, metadata=lmc.metadata(worker, WORKERS)) as store:
        store.put(chunk_keys(worker, numbers))
        line.say("stored")
        line.hear("read")
        assert store.get(chunk_keys(worker, numbers)) == [True] * len(numbers)
        for other in range(WORKERS):
            if other != worker:
                assert store.get(chunk_keys(other, numbers)) == [True] * len(numbers), "worker %d's" % other
        assert store.get_async(chunk_keys((worker + 1) % WORKERS, numbers)) == len(numbers)
        told = counters(store)
        assert told["gets_elsewhere"] >= 2 * len(numbers)
        line.say("done")
        line.hear("end")


def look(line, address, numbers):
    """Which workers' chunks one agent has."""
    with plugin_store(address) as store:
        return [worker for worker in range(WORKERS)
                if store.backend.batched_contains(chunk_keys(worker, numbers)) == len(numbers)]


def test_four_workers_on_two_agents(make_agent, start_plain, run_plain):
    agents = [make_agent("agent %d" % number, backend="dram") for number in range(2)]
    addresses = [agents[0].address, {"dpu_addr": agents[1].address, "mode": "tcp"}]
    workers = [start_plain(work, addresses, worker, range(12), {}) for worker in range(WORKERS)]
    for word, answer in (("stored", "read"), ("done", "end")):
        for child in workers:
            child.hear(word)
        for child in workers:
            child.say(answer)
    for child in workers:
        child.result()
    assert run_plain(look, agents[0].address, range(12)) == [0, 2]
    assert run_plain(look, agents[1].address, range(12)) == [1, 3]


def store_as(line, addresses, worker, local_worker, options):
    with plugin_store(addresses, options, metadata=lmc.metadata(worker, WORKERS, local_worker)) as store:
        store.put(chunk_keys(worker, range(8)))


def find_as(line, addresses, worker, local_worker, options):
    """(found by contains, by the loop's contains, got, got by the loop, from elsewhere, where the rest is written)"""
    with plugin_store(addresses, options, metadata=lmc.metadata(worker, WORKERS, local_worker)) as store:
        wanted = chunk_keys(worker, range(10))
        answer = [store.backend.batched_contains(wanted), store.contains_async(wanted),
                  store.get(wanted).count(True), store.get_async(wanted)]
        return answer + [counters(store).get("gets_elsewhere", 0)]


@pytest.fixture
def two(make_agent):
    return [make_agent("agent %d" % number, backend="dram") for number in range(2)]


def test_hits_survive_when_a_worker_comes_to_another_agent(two, run_plain):
    addresses = [agent.address for agent in two]
    run_plain(store_as, addresses, 2, 2, {})
    assert run_plain(find_as, addresses, 2, 2, {}) == [8, 8, 8, 8, 0]
    assert run_plain(find_as, addresses, 2, 1, {}) == [8, 8, 8, 8, 16], "another place in its host"
    assert run_plain(find_as, list(reversed(addresses)), 2, 2, {}) == [8, 8, 8, 8, 16], "another order of the agents"
    assert run_plain(find_as, addresses, 2, 1, {"ask_others": False}) == [0, 0, 0, 0, 0]
    assert run_plain(find_as, [addresses[1]], 2, 2, {}) == [0, 0, 0, 0, 0]


def one_of_two_is_lost(line, addresses):
    with plugin_store(addresses, metadata=lmc.metadata(1, 2)) as store:
        mine, theirs = chunk_keys(1, range(6), 2), chunk_keys(0, range(6), 2)
        store.put(mine)
        line.say("stored")
        line.hear("other stored")
        assert store.get(mine + theirs) == [True] * 12
        line.say("read")
        line.hear("own killed")
        lmc.until(lambda: not store.backend.agents[1].usable(), "the loss to be noticed")
        assert store.get(mine + theirs) == [None] * 6 + [True] * 6
        assert store.backend.batched_contains(theirs) == 6 and store.backend.batched_contains(mine) == 0
        store.put(mine)  # to nobody
        assert counters(store)["puts_dropped_away"] == 6
        assert store.get_async(theirs) == 6


def put_as_zero(line, addresses):
    with plugin_store(addresses, metadata=lmc.metadata(0, 2)) as store:
        store.put(chunk_keys(0, range(6), 2))


def test_one_of_two_agents_is_lost(two, start_plain, run_plain):
    addresses = [agent.address for agent in two]
    child = start_plain(one_of_two_is_lost, addresses)
    child.hear("stored")
    run_plain(put_as_zero, addresses)
    child.say("other stored")
    child.hear("read")
    two[1].kill()
    child.say("own killed")
    child.result()


# ---- groups --------------------------------------------------------------------------------------

CHUNKS = 160
RANKS = 2


def fill_the_store(line, address, options):
    """All ranks of each chunk, chunk by chunk, more than the agent holds. Which chunks are there in the end, per
    rank."""
    with plugin_store(address, options) as store:
        for number in range(CHUNKS):
            store.put([lmc.key(number, rank, RANKS) for rank in range(RANKS)])
            # Some are read now and then, so that the oldest are not simply those that go.
            store.get([lmc.key(number // 2, number % RANKS, RANKS)])

        def kept():
            return [{number for number in range(CHUNKS) if store.backend.contains(lmc.key(number, rank, RANKS))}
                    for rank in range(RANKS)]

        if options.get("group", True):
            lmc.until(lambda: len(set(map(frozenset, kept()))) == 1, "ranks to agree")
        now = kept()
        for rank, numbers in enumerate(now):
            there = lmc.keys(sorted(numbers), worker=rank, world=RANKS)
            assert store.get(there) == [True] * len(there)
        return now


@pytest.mark.parametrize("backend", ["dram", "posix"])
def test_ranks_of_a_chunk_are_evicted_together(make_agent, run_plain, backend):
    agent = make_agent(backend=backend, memory_mb=32, workers=2, options=["--capacity", "3M"])
    first, second = run_plain(fill_the_store, agent.address, {})
    assert first == second and 20 < len(first) < CHUNKS


def test_without_groups_ranks_need_not_agree(make_agent, run_plain):
    agent = make_agent(backend="dram", memory_mb=32, workers=2, options=["--capacity", "3M"])
    first, second = run_plain(fill_the_store, agent.address, {"group": False})
    assert first != second, "the test above would not notice anything"
