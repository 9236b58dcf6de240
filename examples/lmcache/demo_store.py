# SPDX-License-Identifier: Apache-2.0
"""LMCache in the demonstration: its engine, driven on the CPU with the keys and values of a transformers model.

LMCache brings connectors for the paged memory of vLLM and SGLang on GPUs. This one is for the cache of a
transformers model on the CPU; all else is LMCache's own: LMCacheEngine with its token database, its storage manager
and its storage backend. Layouts:

    LMCache's object of a chunk     [2, layers, tokens, heads * head size]      (KV_2LTD)
    a layer's keys in transformers  [1, heads, tokens, head size]               (and its values the same)

One thread calls the engine; the engine has threads of its own."""

import hashlib
import importlib.metadata
import pathlib
import time
from typing import Any

import torch
from demo_model import NAME, Shape
from lmcache.v1.cache_engine import LMCacheEngine
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.gpu_connector.gpu_connectors import GPUConnectorInterface
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.token_database import ChunkedTokenDatabase
from transformers import DynamicCache


REQUEST = "demonstration"


def chunk_hash(parts: tuple[Any, ...]) -> int:
    """SHA-256 of (hash of the chunk before, tokens, extra keys): the same in every process. vLLM brings this function;
    without it LMCache falls back to Python's hash()."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest(), "big")


class KvMemory:
    """The memory that restored keys and values go to: [2, layers, 1, heads, tokens, head size], made and touched before
    there is anything to restore, as the KV memory of a serving engine is."""

    def __init__(self, shape: Shape, tokens: int) -> None:
        self.shape = shape
        self.tensor = torch.zeros((2, shape.layers, 1, shape.heads, tokens, shape.head_size), dtype=shape.dtype)

    def hand_over(self, cache: DynamicCache, tokens: int) -> None:
        """Makes the first `tokens` tokens of it the contents of an empty cache, which refers to this memory until the
        next token is added."""
        for number, layer in enumerate(cache.layers):
            keys, values = self.tensor[0, number, :, :, :tokens], self.tensor[1, number, :, :, :tokens]
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values


class CpuConnector(GPUConnectorInterface):
    """Between LMCache's objects and a model on the CPU. Keyword arguments of store and retrieve: `kv`, the
    DynamicCache to store from, or the KvMemory to restore to.

    spent_s: seconds of the last call. restored: tokens that the last retrieve brought, from the first on without a
    gap."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.spent_s = 0.0
        self.restored = 0

    def from_gpu(self, memory_obj: Any, start: int, end: int, **kwargs: Any) -> None:
        whole = self._view(memory_obj, end - start)
        for number, layer in enumerate(kwargs["kv"].layers):
            whole[0, number].copy_(layer.keys[0, :, start:end].transpose(0, 1))
            whole[1, number].copy_(layer.values[0, :, start:end].transpose(0, 1))

    def to_gpu(self, memory_obj: Any, start: int, end: int, **kwargs: Any) -> None:
        whole = self._view(memory_obj, end - start)
        kwargs["kv"].tensor[:, :, 0, :, start:end].copy_(whole.transpose(2, 3))

    def batched_from_gpu(self, memory_objs: Any, starts: list[int], ends: list[int], **kwargs: Any) -> None:
        begin = time.perf_counter()
        for memory_obj, start, end in zip(memory_objs, starts, ends):
            self.from_gpu(memory_obj, start, end, **kwargs)
        self.spent_s = time.perf_counter() - begin

    def batched_to_gpu(self, memory_objs: Any = None, starts: Any = None, ends: Any = None, **kwargs: Any) -> None:
        begin = time.perf_counter()
        for memory_obj, start, end in zip(memory_objs, starts, ends):
            self.to_gpu(memory_obj, start, end, **kwargs)
            if start == self.restored:
                self.restored = end
        self.spent_s = time.perf_counter() - begin

    def get_shape(self, num_tokens: int) -> torch.Size:
        shape = self.shape
        return torch.Size((2, shape.layers, num_tokens, shape.heads * shape.head_size))

    def _view(self, memory_obj: Any, tokens: int) -> torch.Tensor:
        """[2, layers, tokens, heads, head size]"""
        shape = self.shape
        return memory_obj.tensor.view(2, shape.layers, tokens, shape.heads, shape.head_size)


class Store:
    """LMCache's engine over the storage that a configuration file names.

    Failures of the storage are misses; what LMCache raises at the start, it raises."""

    def __init__(self, config_file: pathlib.Path, shape: Shape) -> None:
        config: Any = LMCacheEngineConfig.from_file(str(config_file))
        self.chunk_tokens: int = config.chunk_size
        kv_shape = (shape.layers, 2, self.chunk_tokens, shape.heads, shape.head_size)
        metadata = LMCacheMetadata(
            model_name=NAME, world_size=1, local_world_size=1, worker_id=0, local_worker_id=0, kv_dtype=shape.dtype,
            kv_shape=kv_shape, role="worker", chunk_size=self.chunk_tokens)
        database = ChunkedTokenDatabase(config, metadata)
        database.hash_func = chunk_hash
        self.connector = CpuConnector(shape)
        self.engine = LMCacheEngine(config, metadata, database, self.connector, _alone, _alone)
        self.engine.post_init()
        self._touch_pools()
        self.version = importlib.metadata.version("lmcache")

    def store(self, tokens: list[int], cache: DynamicCache, begin: int = 0) -> float:
        """Stores the whole chunks of `tokens` from token `begin` on, a multiple of the chunk's; the cache has the keys
        and values of all. Returns seconds."""
        started = time.perf_counter()
        mask = torch.ones(len(tokens), dtype=torch.bool)
        mask[:begin] = False
        self.engine.store(tokens, mask=mask, kv=cache)
        return time.perf_counter() - started

    def restore(self, tokens: list[int], memory: KvMemory) -> dict[str, float]:
        """Looks up and restores the chunks of `tokens`, whose number is a multiple of the chunk's: tokens found by the
        lookup, tokens restored, and seconds of the lookup, of retrieving, of the connector, and of all."""
        self.connector.spent_s, self.connector.restored = 0.0, 0
        begin = time.perf_counter()
        # As a serving engine does: what is looked up stays pinned until it is retrieved under the same name.
        found = self.engine.lookup(tokens, lookup_id=REQUEST, pin=True)
        looked_up = time.perf_counter()
        # The mask that retrieve returns counts chunks that LMCache 0.4.3 drops behind a failure; the connector
        # knows what came.
        if found:
            self.engine.retrieve(tokens[:found], kv=memory, req_id=REQUEST)
        end = time.perf_counter()
        self.engine.lookup_unpin(REQUEST)
        return {"found": found, "restored": self.connector.restored, "lookup_s": looked_up - begin,
                "retrieve_s": end - looked_up - self.connector.spent_s, "connector_s": self.connector.spent_s,
                "restore_s": end - begin}

    def close(self) -> None:
        self.engine.close()

    def _touch_pools(self) -> None:
        """Brings in the pages of LMCache's pools, which nothing lies in yet. Where there is a GPU, LMCache pins them at
        its start, which does the same."""
        for backend in self.engine.storage_manager.storage_backends.values():
            allocator = getattr(backend, "memory_allocator", None)
            for pool in (allocator, getattr(allocator, "pin_allocator", None)):
                buffer = getattr(pool, "buffer", None)
                if isinstance(buffer, torch.Tensor):
                    buffer.zero_()


def _alone(*_arguments: Any) -> None:
    """Stands in for talking to other workers of the same model, of which there are none."""
    raise RuntimeError("there is one worker only")
