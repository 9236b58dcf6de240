# SPDX-License-Identifier: Apache-2.0
"""Which agent has which key, as far as this process saw it: a bounded memory, the least recently used goes first."""

import collections
import threading


class Places:
    """Any thread. keys_max 0: remembers nothing."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._lock = threading.Lock()
        self._agents: "collections.OrderedDict[bytes, int]" = collections.OrderedDict()

    @property
    def is_on(self) -> bool:
        return self._keys_max > 0

    def note(self, key: bytes, agent: int) -> None:
        if self._keys_max == 0:
            return
        with self._lock:
            self._agents[key] = agent
            self._agents.move_to_end(key)
            if len(self._agents) > self._keys_max:
                self._agents.popitem(last=False)

    def forget(self, key: bytes) -> None:
        if self._keys_max == 0:
            return
        with self._lock:
            self._agents.pop(key, None)

    def find(self, key: bytes, default: int) -> int:
        if self._keys_max == 0:
            return default
        with self._lock:
            return self._agents.get(key, default)
