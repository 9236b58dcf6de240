# SPDX-License-Identifier: Apache-2.0
"""LMCache 0.4.3 with our patch, end to end: real NIXL, real agents. What is put comes back, byte by byte, also in
another process and after the agent's restart."""

import lmc
import pytest

pytestmark = pytest.mark.lmcache("0.4.3")

MODES = {"dynamic": {"pool_size": 0}, "static": {"pool_size": 24}}


@pytest.fixture(params=["dram", "posix"])
def agent(request, make_agent):
    return make_agent(backend=request.param)


def put_and_get(line, address, mode, async_put):
    cfg = lmc.nixl_config(address, nixl_async_put=async_put, **MODES[mode])
    with lmc.nixl_store(cfg) as store:
        wanted = lmc.keys(range(12))
        assert [store.backend.contains(key) for key in wanted] == [False] * 12
        assert store.get(wanted) == [None] * 12
        store.put(wanted[:8])
        assert store.backend.batched_contains(wanted) == 8
        assert store.backend.batched_contains(wanted[8:]) == 0
        assert store.contains_async(wanted) == 8
        assert store.get(wanted) == [True] * 8 + [None] * 4
        assert store.get(list(reversed(wanted[:8]))) == [True] * 8
        assert store.get_async(wanted) == 8
        obj = store.backend.get_blocking(wanted[3])
        assert lmc.same(obj.tensor, wanted[3])
        obj.ref_count_down()
        assert store.backend.get_blocking(wanted[9]) is None


@pytest.mark.parametrize("async_put", [False, True], ids=["put", "async put"])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_put_comes_back(agent, run_patched, mode, async_put):
    run_patched(put_and_get, agent.address, mode, async_put)
