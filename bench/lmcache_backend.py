#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One storage backend of LMCache, driven through LMCache's StorageManager without an engine. bench/run.py starts it
with a Python that has LMCache, and drives it like the other programs: a command a line, answered by a line of JSON.

  lmcache_backend.py SETTINGS     JSON: backend, layers, objects (as many as the pool holds), and of some backends
                                  addr, root, direct, slots, url

  open                        LMCache with this backend
  put SEED COUNT CALL [PATH]  Stores COUNT objects, CALL in a call of batched_put, and waits until the backend has ended
                              all of them; with PATH until syncfs of its file system has returned. The memory objects
                              were allocated and filled before.
  contains SEED COUNT CALLS   One call of batched_contains for the COUNT first keys, CALLS times: the median.
  get SEED COUNT CALL         Reads them, CALL in a call of batched_get, in memory that was overwritten before, and
                              looks at every byte.
  remove SEED COUNT           Removes them, and gives LMCache's pools back to the system.

LMCache's pools begin on a page here, as they do where a GPU's driver allocates them: with O_DIRECT, NIXL's plugin
POSIX says of unaligned memory that it was written, and writes nothing."""

import contextlib
import ctypes
import importlib.metadata
import json
import mmap
import os
import resource
import statistics
import sys
import threading
import time

CHUNK, HEADS, HEAD_SIZE = 32, 8, 128  # 128 KiB of bfloat16 for each layer's K and V
LAYER_BYTES = 2 * CHUNK * HEADS * HEAD_SIZE * 2
SPARE = 8                # objects that the pool holds beyond those of a round
SPOILT = 0xa5
STEP = 0x9e3779b97f4a7c15 - (1 << 64)
POLL_SECONDS = 0.0005
PUT_SECONDS = 120
USABLE_SECONDS = 30
CLOSE_SECONDS = 2        # the connectors to Redis do not end by themselves
MODEL = "bench/model"
DISK_GIB = 1024         # not a limit: LMCache does not take into account what was removed
TIMEOUT_MS = 60000


class Failure(Exception):
    """A sentence for run.py."""


class Pools:
    """LMCache's memory pools: whole pages, kept until the process ends."""

    def __init__(self):
        self.maps = []

    def allocate(self, size, *_, **__):
        import torch

        self.maps.append(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        return torch.frombuffer(self.maps[-1], dtype=torch.uint8)

    def free(self, *_, **__):
        pass

    def install(self):
        """Before anything of LMCache's that allocates is imported."""
        from lmcache.v1 import memory_management

        memory_management._allocate_cpu_memory = self.allocate
        memory_management._free_cpu_memory = self.free

    def spoil(self):
        for pool in self.maps:
            ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(pool)), SPOILT, len(pool))

    def release(self):
        for pool in self.maps:
            pool.madvise(mmap.MADV_DONTNEED)


# --- configurations -----------------------------------------------------------------------------
def plugin(class_name, module, **options):
    """A storage plugin, which LMCache lists under this name."""
    settings = {"module_path": module, "class_name": class_name, **options}
    return "bench", {"storage_plugins": ["bench"],
                     "extra_config": {"storage_plugin.bench." + name: value for name, value in settings.items()}}


def nixl(backend, pool_bytes, **options):
    extra = {"enable_nixl_storage": True, "nixl_backend": backend, "nixl_pool_size": 0, **options}
    config = {"extra_config": extra, "nixl_buffer_device": "cpu"}
    if importlib.metadata.version("lmcache").startswith("0.4."):
        config["nixl_buffer_size"] = pool_bytes  # later releases take their pages from LMCache's own pool
    return "NixlStorageBackend", config


def configuration(given, pool_bytes):
    """Name of the backend among LMCache's, and the configuration."""
    backend = given["backend"]
    if backend == "nothing":
        return plugin("Nothing", "lmcache_nothing")
    if backend == "nothing, own pool":
        return plugin("NothingOwnPool", "lmcache_nothing")
    if backend == "bluecache plugin":
        return plugin("BlueCacheBackend", "bluecache.lmcache", dpu_addr=given["addr"], timeout_ms=TIMEOUT_MS,
                      put_queue_mb=pool_bytes >> 20)
    if backend == "bluecache patch":
        return nixl("DOCA_DMA_PROXY", pool_bytes, nixl_async_put=True,  # as examples/lmcache/lmcache-config.yaml
                    nixl_backend_params={"dpu_addr": given["addr"], "timeout_ms": str(TIMEOUT_MS)})
    if backend == "nixl posix":
        return nixl("POSIX", pool_bytes, nixl_pool_size=given.get("slots", 0), nixl_path=given["root"],
                    use_direct_io=given.get("direct", False))
    if backend == "local_disk":
        return "LocalDiskBackend", {"local_disk": given["root"], "max_local_disk_size": DISK_GIB}
    if backend == "remote":
        return "RemoteBackend", {"remote_url": given["url"], "remote_serde": "naive", "blocking_timeout_secs": 60,
                                 "extra_config": {"save_chunk_meta": False}}
    raise Failure("no such backend: %s" % backend)


# --- the rounds ---------------------------------------------------------------------------------
class Bench:
    def __init__(self, given):
        self.given = given
        self.layers = given["layers"]
        self.size = self.layers * LAYER_BYTES
        self.pools = Pools()
        self.manager = None

    def open(self):
        import torch

        self.torch = torch
        self.pools.install()
        from lmcache.utils import CacheEngineKey
        from lmcache.v1.config import LMCacheEngineConfig
        from lmcache.v1.event_manager import EventManager
        from lmcache.v1.metadata import LMCacheMetadata
        from lmcache.v1.storage_backend.storage_manager import StorageManager

        self.key_class = CacheEngineKey
        pool_bytes = (self.given["objects"] + SPARE) * self.size
        self.name, options = configuration(self.given, pool_bytes)
        config = LMCacheEngineConfig.from_dict({
            "chunk_size": CHUNK, "local_cpu": False, "max_local_cpu_size": pool_bytes / (1 << 30),
            "save_unfull_chunk": False, **options}).validate()
        metadata = LMCacheMetadata(
            model_name=MODEL, world_size=1, local_world_size=1, worker_id=0, local_worker_id=0, kv_dtype=torch.bfloat16,
            kv_shape=(self.layers, 2, CHUNK, HEADS, HEAD_SIZE), role="worker", chunk_size=CHUNK)
        self.shape = torch.Size([2, self.layers, CHUNK, HEADS * HEAD_SIZE])
        self.manager = StorageManager(config, metadata, EventManager())
        self.backend = self.manager.storage_backends.get(self.name)
        if self.backend is None:
            raise Failure("LMCache did not load %s" % self.given["backend"])
        if hasattr(self.backend, "wait_usable") and not self.backend.wait_usable(USABLE_SECONDS):
            raise Failure("the agent cannot be reached")
        self.steps = torch.arange(self.size // 8, dtype=torch.int64) * STEP
        return {"lmcache": importlib.metadata.version("lmcache")}

    def keys(self, seed, count, first=0):
        return [self.key_class(MODEL, 1, 0, (seed << 32) + first + i, self.torch.bfloat16) for i in range(count)]

    def first_word(self, key):
        word = (key.chunk_hash + 1) * 0xbf58476d1ce4e5b9 & (1 << 62) - 1
        return word ^ word >> 31

    def words(self, obj):
        return obj.tensor.reshape(-1).view(self.torch.int64)

    def filled(self, keys):
        objs = []
        for key in keys:
            obj = self.manager.allocate(self.shape, self.torch.bfloat16, busy_loop=False)
            if obj is None:
                raise Failure("LMCache's pool has no room for %d objects: some were never given back" % len(keys))
            self.torch.add(self.steps, self.first_word(key), out=self.words(obj))
            objs.append(obj)
        return objs

    def put(self, seed, count, call, path=None):
        keys = self.keys(seed, count)
        self.pools.spoil()
        objs = self.filled(keys)
        folder = None if path is None else os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            before, begin = processor_ns(), time.monotonic_ns()
            for at in range(0, count, call):
                self.manager.batched_put(keys[at:at + call], objs[at:at + call])
            waited = self.wait_put(keys, objs)
            if folder is not None:
                sync_file_system(folder)
            took, used = time.monotonic_ns() - begin, processor_ns() - before - waited
        finally:
            if folder is not None:
                os.close(folder)
        there, _ = self.manager.batched_contains(keys)
        if there != count:
            raise Failure("only %d of %d objects were stored" % (there, count))
        return {"bytes": count * self.size, "put_ns": took, "put_cpu_ns": used}

    def wait_put(self, keys, objs):
        """Until no object is in use by the backend. Returns the processor time of the waiting itself."""
        deadline, begin = time.monotonic() + PUT_SECONDS, time.thread_time_ns()
        for key, obj in zip(keys, objs):
            while obj.get_ref_count() > 0 or self.backend.exists_in_put_tasks(key):
                if time.monotonic() > deadline:
                    raise Failure("a put does not end within %d s" % PUT_SECONDS)
                time.sleep(POLL_SECONDS)
        return time.thread_time_ns() - begin

    def contains(self, seed, count, calls):
        keys = self.keys(seed, count)
        times = []
        for _ in range(calls):
            begin = time.monotonic_ns()
            found, _ = self.manager.batched_contains(keys)
            times.append(time.monotonic_ns() - begin)
            if found != count:
                raise Failure("only %d of %d objects are said to be there" % (found, count))
        return {"contains_ns": statistics.median(times)}

    def get(self, seed, count, call):
        self.pools.spoil()
        took = used = 0
        for at in range(0, count, call):
            keys = self.keys(seed, min(call, count - at), at)
            before, begin = processor_ns(), time.monotonic_ns()
            objs = self.manager.batched_get(keys, self.name)
            took += time.monotonic_ns() - begin
            used += processor_ns() - before
            self.check(keys, objs)
        return {"bytes": count * self.size, "get_ns": took, "get_cpu_ns": used}

    def check(self, keys, objs):
        if len(objs) != len(keys) or None in objs:
            raise Failure("only %d of %d objects came" % (sum(obj is not None for obj in objs), len(keys)))
        for key, obj in zip(keys, objs):
            words = self.words(obj)
            right = self.given["backend"].startswith("nothing") or self.torch.equal(
                words, self.steps + self.first_word(key))
            obj.ref_count_down()
            if not right:
                raise Failure("wrong bytes in object %x" % key.chunk_hash)

    def remove(self, seed, count):
        keys = self.keys(seed, count)
        if self.given["backend"] == "bluecache patch":
            self.remove_from_agent([self.backend._format_object_key(key).encode() for key in keys])
        elif self.given["backend"] != "remote":  # LMCache removes nothing from there
            self.manager.batched_remove(keys, [self.name])
        self.pools.release()
        return {"removed": count}

    def remove_from_agent(self, names):
        """NIXL has no call that removes an object."""
        import bluecache

        with bluecache.Client(self.given["addr"], name="bench-remove") as client:
            client.remove(names)

    def close(self):
        if self.manager is not None:
            self.manager.close()


def processor_ns():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1e9)


def sync_file_system(folder):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(folder) != 0:
        raise Failure("syncfs: %s" % os.strerror(ctypes.get_errno()))


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever LMCache prints goes to the log
    bench = Bench(json.loads(sys.argv[1]))
    commands = {"open": bench.open, "put": bench.put, "contains": bench.contains, "get": bench.get,
                "remove": bench.remove}
    print(json.dumps({"ready": bench.size}), file=answers)
    for line in sys.stdin:
        name, *words = line.split()
        try:
            answer = commands[name](*(int(word) if word.isdigit() else word for word in words))
        except Exception as error:  # of LMCache's, too: run.py leaves this one out and goes on
            answer = {"error": "%s: %s" % (type(error).__name__, error) if not isinstance(error, Failure)
                      else str(error)}
        print(json.dumps(answer), file=answers)
    end = threading.Timer(CLOSE_SECONDS, os._exit, [1])
    end.daemon = True
    end.start()
    with contextlib.suppress(Exception):
        bench.close()
    os._exit(0)  # without waiting for threads of others


if __name__ == "__main__":
    main()
