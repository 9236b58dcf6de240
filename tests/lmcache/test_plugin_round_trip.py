# SPDX-License-Identifier: Apache-2.0
"""The storage plugin end to end, in LMCache as it was installed: what is put comes back, byte by byte, from memory and
to memory of LMCache's own pool, also in another process and after the agent's restart."""

import lmc
import pytest
from plugin_support import counters, plugin_store

pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")


@pytest.fixture(params=["dram", "posix"])
def agent(request, make_agent):
    return make_agent(backend=request.param)


def put_and_get(line, address, async_put):
    with plugin_store(address, {"async_put": async_put}) as store:
        wanted = lmc.keys(range(12))
        assert [store.backend.contains(key) for key in wanted] == [False] * 12
        assert store.get(wanted) == [None] * 12
        store.put(wanted[:8])
        assert store.backend.batched_contains(wanted) == 8
        assert store.backend.batched_contains(wanted, True) == 8
        assert store.backend.batched_contains(wanted[8:]) == 0
        assert store.contains_async(wanted) == 8
        assert store.get(wanted) == [True] * 8 + [None] * 4
        assert store.get(list(reversed(wanted[:8]))) == [True] * 8
        assert store.get_async(wanted) == 8
        assert store.get_async(wanted[8:]) == 0
        obj = store.backend.get_blocking(wanted[3])
        assert lmc.same(obj.tensor, wanted[3])
        obj.ref_count_down()
        assert store.backend.get_blocking(wanted[9]) is None
        told = counters(store)
        assert told["puts"] == 8 and told["put_bytes"] == 8 * lmc.PAGE
        assert told["gets"] == 8 * 3 + 1 and "regions_extra" not in told and "gets_failed" not in told


@pytest.mark.parametrize("async_put", [False, True], ids=["put", "async put"])
def test_what_is_put_comes_back(agent, run_plain, async_put):
    run_plain(put_and_get, agent.address, async_put)
