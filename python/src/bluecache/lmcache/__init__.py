# SPDX-License-Identifier: Apache-2.0
"""BlueCache as a storage tier of LMCache, without a patch to LMCache.

    BlueCacheBackend     a storage plugin of the in-process engine       (backend.py)
    BlueCacheL2Adapter   an L2 adapter of the multi-process server       (l2.py)

LMCache imports this module by the name that its configuration gives and asks it for one of the two. Each is imported
only then: the multi-process server does not need the classes of the engine, and the table of options can be read
where there is no LMCache at all. docs/lmcache.md has the set-up.

How the rooms fit together. backend.py and l2.py speak LMCache; compat.py is the only other file that does, and keeps
what differs between its releases. Everything below them knows keys, addresses and bytes:

    options   the table of options                    agents    connections, and which of them may be asked
    keys      names of objects, and their groups      regions   registered memory, header slots
    layout    the header in front of every object     reaper    the thread that ends what was started
    counters  what happened, and a log that is rare   transfer  put, get, look up, remove
"""

from typing import Any

_HOMES = {"BlueCacheBackend": "bluecache.lmcache.backend", "BlueCacheL2Adapter": "bluecache.lmcache.l2"}

__all__ = ["BlueCacheBackend", "BlueCacheL2Adapter"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    import importlib

    return getattr(importlib.import_module(home), name)
