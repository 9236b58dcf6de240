# SPDX-License-Identifier: Apache-2.0
"""A storage plugin of LMCache that stores nothing: what it costs is LMCache's own. Objects that were put count as
there, and a get returns memory of the pool as it is. OWN_POOL: with a pool of its own, to which LMCache copies on every
put, as it does for NIXL backends in 0.4.3."""

import threading

from lmcache.v1.storage_backend.abstract_backend import StoragePluginInterface
from lmcache.v1.storage_backend.local_cpu_backend import LocalCPUBackend


class OwnPool(LocalCPUBackend):
    """LMCache tells pools apart by the name of their class."""


class Nothing(StoragePluginInterface):
    OWN_POOL = False

    def __init__(self, dst_device="cpu", config=None, metadata=None, local_cpu_backend=None, loop=None):
        super().__init__(dst_device=dst_device, config=config, metadata=metadata, local_cpu_backend=local_cpu_backend,
                         loop=loop)
        self.pool = OwnPool(config, metadata, dst_device) if self.OWN_POOL else local_cpu_backend
        self.shapes, self.dtypes = metadata.get_shapes(), metadata.get_dtypes()
        self.known = set()
        self.lock = threading.Lock()

    def __str__(self):
        return type(self).__name__

    def contains(self, key, pin=False):
        with self.lock:
            return key in self.known

    def batched_contains(self, keys, pin=False):
        with self.lock:
            return next((place for place, key in enumerate(keys) if key not in self.known), len(keys))

    def exists_in_put_tasks(self, key):
        return False

    def batched_submit_put_task(self, keys, objs, transfer_spec=None, on_complete_callback=None):
        with self.lock:
            self.known.update(keys)

    def get_blocking(self, key):
        return self.batched_get_blocking([key])[0]

    def batched_get_blocking(self, keys):
        return [self.pool.allocate(self.shapes, self.dtypes, busy_loop=False) for _ in keys]

    def pin(self, key):
        return False

    def unpin(self, key):
        return False

    def remove(self, key, force=True):
        with self.lock:
            if key not in self.known:
                return False
            self.known.discard(key)
            return True

    def get_allocator_backend(self):
        return self.pool

    def close(self):
        if self.OWN_POOL:
            self.pool.close()


class NothingOwnPool(Nothing):
    OWN_POOL = True
