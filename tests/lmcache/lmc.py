# SPDX-License-Identifier: Apache-2.0
"""LMCache without an engine, for the processes of the tests: configuration, metadata, its storage backends with their
event loop, keys, and what is stored under each key. Nothing here is for one backend alone."""

import asyncio
import contextlib
import hashlib
import os
import threading
import time

import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.metadata import LMCacheMetadata

LAYERS, CHUNK, HEADS, HEAD_SIZE = 2, 16, 2, 64
DTYPE = torch.bfloat16
PAGE = 2 * LAYERS * CHUNK * HEADS * HEAD_SIZE * DTYPE.itemsize  # bytes of one chunk's object: 16 KiB
SHAPE = torch.Size([2, LAYERS, CHUNK, HEADS * HEAD_SIZE])
WAIT_SECONDS = float(os.environ.get("LMC_WAIT_SECONDS", "60"))


def metadata(worker=0, world=1, local_worker=None, model="test/model", layers=LAYERS):
    """Of one worker. kv_shape is (layers, 2, tokens, heads, head size)."""
    return LMCacheMetadata(
        model_name=model, world_size=world, local_world_size=world, worker_id=worker,
        local_worker_id=worker if local_worker is None else local_worker, kv_dtype=DTYPE,
        kv_shape=(layers, 2, CHUNK, HEADS, HEAD_SIZE), role="worker", chunk_size=CHUNK)


def config(extra_config, **options):
    """LMCache's configuration: as from a file, with what every test wants as a default."""
    values = {"chunk_size": CHUNK, "local_cpu": False, "max_local_cpu_size": 0.01, "save_unfull_chunk": False}
    values.update(options, extra_config=extra_config)
    return LMCacheEngineConfig.from_dict(values).validate()


def nixl_config(address, pages=16, pool_size=0, layers=LAYERS, params=None, options=None, **extra):
    """With the NIXL backend DOCA_DMA_PROXY. address: the agent's; None leaves nixl_backend_params alone."""
    given = {} if address is None else {"dpu_addr": address}
    given.update(params or {})
    settings = {"enable_nixl_storage": True, "nixl_backend": "DOCA_DMA_PROXY", "nixl_pool_size": pool_size,
                "nixl_backend_params": given}
    settings.update(extra)
    return config(settings, nixl_buffer_size=pages * PAGE * layers // LAYERS, nixl_buffer_device="cpu",
                  **(options or {}))


def key(number, worker=0, world=1, model="test/model"):
    return CacheEngineKey(model, world, worker, number, DTYPE)


def keys(numbers, **of):
    return [key(number, **of) for number in numbers]


def content(what, layers=LAYERS):
    """The KV tensor of a key: other bytes for every key, the same in every process."""
    seed = int.from_bytes(hashlib.sha256(what.to_string().encode()).digest()[:7], "little")
    shape = torch.Size([2, layers, *SHAPE[2:]])
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(1 << 15), 1 << 15, shape, dtype=torch.int16, generator=generator).view(DTYPE)


def same(tensor, what):
    """Bitwise: a NaN is itself here."""
    expected = content(what, tensor.shape[1])
    return torch.equal(tensor.contiguous().view(torch.int16), expected.view(torch.int16))


def until(condition, what, seconds=None):
    """Waits for something that another thread or process does."""
    seconds = seconds or WAIT_SECONDS
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "%s: not within %d s" % (what, seconds)
        time.sleep(0.002)


@contextlib.contextmanager
def event_loop():
    """A running loop in a thread, as LMCache's StorageManager has one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_SECONDS)


class Store:
    """One storage backend of LMCache, put to and got from in whole chunks."""

    def __init__(self, backend, loop, allocator=None):
        """allocator: the backend that pages for a put come from; the backend itself if None."""
        self.backend = backend
        self.loop = loop
        self.allocator = allocator or backend

    def pages(self, wanted, layers=LAYERS):
        """Filled pages for these keys, with one reference each."""
        objs = []
        for what in wanted:
            obj = self.allocator.allocate(torch.Size([2, layers, *SHAPE[2:]]), DTYPE, busy_loop=False)
            assert obj is not None, "no page is free"
            obj.tensor.copy_(content(what, layers))
            objs.append(obj)
        return objs

    def begin_put(self, wanted, **options):
        """As StorageManager.batched_put does: our references are dropped as soon as the backend has been told."""
        objs = self.pages(wanted)
        try:
            self.backend.batched_submit_put_task(wanted, objs, **options)
        finally:
            for obj in objs:
                obj.ref_count_down()

    def put(self, wanted, **options):
        self.begin_put(wanted, **options)
        self.settle(wanted)

    def settle(self, wanted):
        until(lambda: not any(self.backend.exists_in_put_tasks(what) for what in wanted), "the put of %s" % wanted)

    def get(self, wanted):
        """True for each key whose bytes came, None for a miss. Wrong bytes fail here."""
        # What the engine gets of the plugin may end before the first miss.
        objs = getattr(self.backend, "get_each", self.backend.batched_get_blocking)(wanted)
        assert len(objs) == len(wanted)
        return [self._judge(obj, what) for obj, what in zip(objs, wanted)]

    def get_async(self, wanted):
        """The number of objects that came."""
        objs = asyncio.run_coroutine_threadsafe(
            self.backend.batched_get_non_blocking("lookup", wanted), self.loop).result(WAIT_SECONDS)
        return len([self._judge(obj, what) for obj, what in zip(objs, wanted)])

    def contains_async(self, wanted):
        return asyncio.run_coroutine_threadsafe(
            self.backend.batched_async_contains("lookup", wanted), self.loop).result(WAIT_SECONDS)

    @staticmethod
    def _judge(obj, what):
        if obj is None:
            return None
        right = same(obj.tensor, what)
        obj.ref_count_down()
        assert right, "wrong bytes of %s" % what
        return True


@contextlib.contextmanager
def backends(cfg, md=None):
    """(LMCache's backends by name, their loop); closed at the end."""
    from lmcache.v1.storage_backend import CreateStorageBackends

    with event_loop() as loop:
        made = CreateStorageBackends(cfg, md or metadata(), loop, "cpu")
        try:
            yield made, loop
        finally:
            for backend in reversed(made.values()):
                backend.close()


@contextlib.contextmanager
def nixl_store(cfg, md=None):
    """A Store over NixlStorageBackend, whose pages must all be free at the end."""
    with backends(cfg, md) as (made, loop):
        backend = made["NixlStorageBackend"]
        free = len(backend.memory_allocator.free_blocks)
        yield Store(backend, loop)
        until(lambda: len(backend.memory_allocator.free_blocks) == free, "all pages to be free again")
