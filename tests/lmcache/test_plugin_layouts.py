# SPDX-License-Identifier: Apache-2.0
"""What LMCache may store: data types, MLA, groups of layers, chunks with fewer tokens, encoder output; through its own
StorageManager too. And that what differs is never mixed up."""

import asyncio

import lmc
import plugin_support
import pytest
import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.memory_management import MemoryFormat
from plugin_support import counters, plugin_store

pytestmark = pytest.mark.lmcache("0.4.3", "0.5.6")


@pytest.fixture
def agent(make_agent):
    return make_agent(backend="dram")


def metadata(dtype=torch.bfloat16, mla=False, chunk=lmc.CHUNK, layers=2, **changes):
    made = lmc.metadata(**changes)
    made.kv_dtype, made.use_mla, made.chunk_size = dtype, mla, chunk
    made.kv_shape = (layers, 1 if mla else 2, chunk, lmc.HEADS, lmc.HEAD_SIZE)
    return made


def shape(made, tokens=None):
    return torch.Size(made.get_shapes(tokens)[0])


def bytes_for(number, length):
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, (length,), dtype=torch.uint8, generator=generator)


def put(store, pairs):
    """pairs: (key, number of its content, shapes, dtypes, format)."""
    objs = []
    for _, number, shapes, dtypes, fmt in pairs:
        obj = store.local_cpu.allocate(shapes, dtypes, fmt, busy_loop=False)
        obj.raw_data[:obj.get_size()].copy_(bytes_for(number, obj.get_size()))
        objs.append(obj)
    wanted = [pair[0] for pair in pairs]
    store.backend.batched_submit_put_task(wanted, objs)
    for obj in objs:
        obj.ref_count_down()
    store.settle(wanted)


def check(store, pairs):
    """All of them come, as they were."""
    wanted = [pair[0] for pair in pairs]
    assert store.backend.batched_contains(wanted) == len(wanted)
    for objs in (store.backend.batched_get_blocking(wanted), asyncio.run_coroutine_threadsafe(
            store.backend.batched_get_non_blocking("lookup", wanted), store.loop).result(60)):
        assert len(objs) == len(wanted)
        for obj, (key, number, shapes, dtypes, fmt) in zip(objs, pairs):
            shapes, dtypes = (shapes, dtypes) if isinstance(shapes, list) else ([shapes], [dtypes])
            assert obj is not None, key
            assert obj.get_shape() == shapes[0] and obj.get_dtype() == dtypes[0] and obj.meta.fmt == fmt
            assert list(obj.meta.shapes) == shapes and list(obj.meta.dtypes) == dtypes
            assert torch.equal(obj.raw_data[:obj.get_size()], bytes_for(number, obj.get_size())), key
            obj.ref_count_down()


def engine_keys(numbers, made):
    return [CacheEngineKey(made.model_name, made.world_size, made.worker_id, number, made.kv_dtype) for number in numbers]


def whole_and_short(line, address, dtype, mla):
    made = metadata(dtype, mla)
    fmt = MemoryFormat.KV_MLA_FMT if mla else MemoryFormat.KV_2LTD
    wanted = engine_keys(range(5), made)
    pairs = [(key, number, shape(made, tokens), dtype, fmt)
             for number, (key, tokens) in enumerate(zip(wanted, (16, 16, 1, 15, 7)))]
    with plugin_store(address, config={"save_unfull_chunk": True}, metadata=made) as store:
        put(store, pairs)
        check(store, pairs)
        check(store, list(reversed(pairs)))
        assert "gets_mismatched" not in counters(store)


@pytest.mark.parametrize("mla", [False, True], ids=["heads", "MLA"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.uint8], ids=str)
def test_data_types_and_chunks_short_of_tokens(agent, run_plain, dtype, mla):
    run_plain(whole_and_short, agent.address, dtype, mla)


class Groups:
    """Metadata of a model whose layers are not all alike: two groups."""

    def __init__(self):
        self.plain = metadata()

    def __getattr__(self, name):
        return getattr(self.plain, name)

    def get_shapes(self, num_tokens=None):
        tokens = num_tokens or lmc.CHUNK
        return [torch.Size([2, 3, tokens, 96]), torch.Size([1, 2, tokens, 64])]

    def get_dtypes(self):
        return [torch.bfloat16, torch.float32]


def groups(line, address):
    made = Groups()
    with plugin_store(address, metadata=made.plain) as store:
        store.backend.metadata = made
        wanted = engine_keys(range(3), made)
        pairs = [(key, number, made.get_shapes(tokens), made.get_dtypes(), MemoryFormat.KV_2LTD)
                 for number, (key, tokens) in enumerate(zip(wanted, (16, 16, 3)))]
        put(store, pairs)
        check(store, pairs)


def test_groups_of_layers(agent, run_plain):
    run_plain(groups, agent.address)


def encoder(line, address):
    if not hasattr(MemoryFormat, "EC_TD"):
        return
    with plugin_store(address) as store:
        key = CacheEngineKey("test/model", 1, 0, 0xfeed, torch.float16)
        pairs = [(key, 7, torch.Size([33, 100]), torch.float16, MemoryFormat.EC_TD)]
        put(store, pairs)
        check(store, pairs)


def test_encoder_output(agent, run_plain):
    run_plain(encoder, agent.address)


def mixed(line, address):
    """The same chunk hash everywhere. Who asks for it with another model, type, rank, size or chunk finds nothing."""
    with plugin_store(address) as store:
        key = lmc.key(5)
        store.put([key])
        assert store.get([key]) == [True]
        others = [lmc.key(5, model="test/other"), lmc.key(5, world=2), lmc.key(5, worker=1, world=2),
                  CacheEngineKey("test/model", 1, 0, 5, torch.float16),
                  CacheEngineKey("test/model", 1, 0, 5, lmc.DTYPE, {"lmcache.tag.user": "a"})]
        assert [store.backend.contains(other) for other in others] == [False] * 5
        assert store.get(others) == [None] * 5
    for made in (metadata(chunk=32), metadata(layers=4), metadata(mla=True)):
        with plugin_store(address, metadata=made) as store:
            assert not store.backend.contains(key) and store.backend.get_blocking(key) is None


def test_nothing_is_mixed_up(agent, run_plain):
    run_plain(mixed, agent.address)


def changed_layout(line, address):
    """The key says nothing of groups of layers: here the header is what keeps them apart."""
    with plugin_store(address) as store:
        key = lmc.key(5)
        store.put([key])
        store.backend.metadata = Groups()
        assert store.get([key]) == [None]
        assert counters(store)["gets_mismatched"] == 1


def test_another_layout_under_the_same_key_is_a_miss(agent, run_plain):
    run_plain(changed_layout, agent.address)


def shared_mla(line, address):
    one, two = metadata(mla=True), metadata(mla=True, worker=1, world=2)
    pairs = [(key, number, shape(one), one.kv_dtype, MemoryFormat.KV_MLA_FMT)
             for number, key in enumerate(engine_keys(range(4), one))]
    with plugin_store(address, {"share_mla": True}, metadata=one) as store:
        put(store, pairs)
    with plugin_store(address, {"share_mla": True}, metadata=two) as store:
        check(store, [(key, *pair[1:]) for key, pair in zip(engine_keys(range(4), two), pairs)])
    with plugin_store(address, metadata=two) as store:
        assert store.backend.batched_contains(engine_keys(range(4), two)) == 0


def test_shared_mla_survives_another_tensor_parallel_size(agent, run_plain):
    run_plain(shared_mla, agent.address)


# ---- objects outside the pool, and those that cannot be stored ---------------------------------------


def outside(line, address):
    from lmcache.v1.memory_management import BytesBufferMemoryObj

    try:
        from lmcache.v1.memory_allocators.host_memory_allocator import HostMemoryAllocator
    except ImportError:
        from lmcache.v1.memory_management import HostMemoryAllocator

    with plugin_store(address) as store:
        allocator = HostMemoryAllocator(1 << 20)
        wanted = lmc.keys(range(5))
        objs = []
        for key in wanted:
            obj = allocator.allocate(lmc.SHAPE, lmc.DTYPE)
            obj.tensor.copy_(lmc.content(key))
            objs.append(obj)
        store.backend.batched_submit_put_task(wanted, objs)
        store.settle(wanted)
        assert [obj.get_ref_count() for obj in objs] == [1] * 5
        assert store.get(wanted) == [True] * 5
        assert counters(store)["regions_extra"] == 5
        for obj in objs:
            obj.ref_count_down()
        store.backend.batched_submit_put_task([lmc.key(99)], [BytesBufferMemoryObj(b"bytes")])
        assert not store.backend.exists_in_put_tasks(lmc.key(99))
        assert counters(store)["puts_dropped_unsupported"] == 1


def test_objects_outside_the_pool(agent, run_plain):
    run_plain(outside, agent.address)


# ---- through LMCache's StorageManager ----------------------------------------------------------------


def storage_manager(line, address, local_cpu):
    from lmcache.v1.event_manager import EventManager
    from lmcache.v1.storage_backend.storage_manager import StorageManager

    cfg = plugin_support.plugin_config(address, config={"local_cpu": local_cpu})
    made = StorageManager(cfg, lmc.metadata(), EventManager())
    try:
        plugin = made.storage_backends["bluecache"]
        assert plugin.wait_usable(plugin_support.USABLE_SECONDS)
        pool = plugin_support.Pool(made.storage_backends["LocalCPUBackend"])
        wanted = lmc.keys(range(8))
        objs = [made.allocate(lmc.SHAPE, lmc.DTYPE) for _ in wanted]
        for key, obj in zip(wanted, objs):
            obj.tensor.copy_(lmc.content(key))
        made.batched_put(wanted, objs)
        lmc.until(lambda: not any(plugin.exists_in_put_tasks(key) for key in wanted), "the put")
        if local_cpu:
            made.clear(["LocalCPUBackend"])
        lmc.until(lambda: pool.used == 0, "the put to give its memory back")
        assert made.batched_contains(wanted + lmc.keys([99]))[0] == 8
        assert made.get_block_mapping([(key, 0, 0) for key in wanted]) == {"bluecache": [(key, 0, 0) for key in wanted]}
        assert made.contains(wanted[0], pin=True) == "bluecache"
        made.batched_unpin(wanted)
        found = made.batched_get(wanted, location="bluecache")
        assert all(lmc.same(obj.tensor, key) for obj, key in zip(found, wanted))
        assert [obj.get_ref_count() for obj in found] == [2 if local_cpu else 1] * 8
        for obj in found:
            obj.ref_count_down()
        assert made.remove(wanted[3]) == (2 if local_cpu else 1) and not plugin.contains(wanted[3])
        assert made.batched_remove(wanted, locations=["bluecache"]) == 7
    finally:
        made.close()
    assert not [agent for agent in plugin.agents if agent.usable()]


@pytest.mark.parametrize("local_cpu", [False, True], ids=["alone", "behind the CPU cache"])
def test_through_the_storage_manager(agent, run_plain, local_cpu):
    run_plain(storage_manager, agent.address, local_cpu)
