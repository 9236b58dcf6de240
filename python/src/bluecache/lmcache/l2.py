# SPDX-License-Identifier: Apache-2.0
"""BlueCacheL2Adapter: an L2 tier of LMCache's multi-process server (`lmcache server`, adapter type "plugin").

Objects go straight between the server's L1 memory, registered once, and the agent. With several agents an object's
group, which all ranks of a chunk share, says which one it is written to; what is not there is looked for at the others.

A task is complete when nobody reads or writes its memory any more, since the server frees L1 memory by then. Only an
agent that is stopped in the middle of a copy can hold one up beyond its deadline. Everything else that goes wrong is a
task that failed, or a bit that is not set."""

import collections
import concurrent.futures
import functools
import inspect
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmcache.v1.distributed.l2_adapters.base import L2AdapterInterface

from bluecache.lmcache import compat
from bluecache.lmcache.agents import Agent, State
from bluecache.lmcache.counters import Counters, RareLog, logger
from bluecache.lmcache.keys import Name, ServerNames
from bluecache.lmcache.layout import Layout, LayoutError, encode
from bluecache.lmcache.options import Options, parse
from bluecache.lmcache.regions import Place
from bluecache.lmcache.transfer import Outcome, Stored, Transfer, Want

THREADS = 8  # that wait for look-ups and loads
SIZES_MAX = 1 << 20  # keys whose size is remembered, for the server's accounts


class BlueCacheL2Adapter(L2AdapterInterface):  # type: ignore[misc]
    """Any thread. Its three descriptors are eventfds of its own."""

    def __init__(self, params: Mapping[str, Any] | None = None, l1_memory_desc: Any = None) -> None:
        """params: the adapter_params of the configuration; options.py has the table. Returns at once, whether the
        agents are there or not. OptionError: the configuration cannot be meant."""
        super().__init__()
        compat.use_lmcache_log()
        self.options: Options = parse(params or {})
        self.counters = Counters()
        self._log = RareLog()
        self._names = ServerNames()
        places = [] if l1_memory_desc is None else [Place(l1_memory_desc.ptr, l1_memory_desc.size)]
        self.agents = [Agent(endpoint, self.options, places, self.counters, self._log)
                       for endpoint in self.options.endpoints]
        self._transfer = Transfer(self.options, self.agents, self.counters, self._log, self._home_of)
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, "bluecache-l2")
        self._lock = threading.Lock()
        self._next_task = 0
        self._results: dict[str, dict[int, Any]] = {"store": {}, "lookup": {}, "load": {}}
        self._fds = {kind: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for kind in self._results}
        self._sizes: "collections.OrderedDict[Any, int]" = collections.OrderedDict()
        self._bitmap = compat.bitmap_class()
        self._closed = False

    def _home_of(self, name: Name) -> int:
        return name.group % len(self.agents)

    def wait_usable(self, seconds: float) -> bool:
        """Until every agent can be asked, at most so long each: for tools and tests, the server does not wait."""
        return all([agent.wait_usable(seconds) for agent in self.agents])

    # ---- tasks -----------------------------------------------------------------------------------

    def get_store_event_fd(self) -> int:
        return self._fds["store"]

    def get_lookup_and_lock_event_fd(self) -> int:
        return self._fds["lookup"]

    def get_load_event_fd(self) -> int:
        return self._fds["load"]

    def _new_task(self) -> int:
        with self._lock:
            self._next_task += 1
            return self._next_task

    def _complete(self, kind: str, task: int, result: Any) -> None:
        with self._lock:
            self._results[kind][task] = result
            fd = self._fds.get(kind, -1)
            if fd >= 0:
                os.eventfd_write(fd, 1)

    def _pop(self, kind: str, task: int) -> Any:
        with self._lock:
            return self._results[kind].pop(task, None)

    # ---- store -----------------------------------------------------------------------------------

    def submit_store_task(self, keys: list[Any], objects: list[Any]) -> int:
        """Does not block. The task succeeds when every object was stored."""
        task = self._new_task()
        work = _Store(self, task, keys, objects)
        if not work.stored:
            self._complete("store", task, compat.store_result(not keys, 0))
        else:
            self._transfer.put(work.stored, work.done)
        return task

    def pop_completed_store_tasks(self) -> dict[int, Any]:
        """Of each task, whether it succeeded: a bool, or an L2StoreResult where LMCache has it."""
        with self._lock:
            done, self._results["store"] = self._results["store"], {}
        return done

    def name_of(self, key: Any) -> Name:
        return self._names.of(key)

    def store_over(self, task: int, keys: Sequence[Any], lengths: Sequence[int], wanted: int) -> None:
        """What was stored of it, and of how many."""
        if keys:
            self._account(keys, lengths)
        self._complete("store", task, compat.store_result(len(keys) == wanted, sum(lengths)))

    def _account(self, keys: Sequence[Any], lengths: Sequence[int]) -> None:
        """Tells the server's listeners, each object once. Of too many, the oldest count as deleted."""
        new: list[tuple[Any, int]] = []
        old: list[tuple[Any, int]] = []
        with self._lock:
            for key, length in zip(keys, lengths):
                if key not in self._sizes:
                    new.append((key, length))
                    self._sizes[key] = length
            while len(self._sizes) > SIZES_MAX:
                old.append(self._sizes.popitem(last=False))
        self._notify(self._notify_keys_stored, new)
        self._notify(self._notify_keys_deleted, old)

    @staticmethod
    def _notify(tell: Callable[..., None], pairs: Sequence[tuple[Any, int]]) -> None:
        if not pairs:
            return
        keys, sizes = [key for key, _ in pairs], [size for _, size in pairs]
        if "sizes" in inspect.signature(tell).parameters:
            tell(keys, sizes)
        else:
            tell(keys)

    # ---- look up ---------------------------------------------------------------------------------

    def submit_lookup_and_lock_task(self, keys: list[Any], group_layout_descs: Any = None) -> int:
        """Does not block. Nothing is locked: the agent shares its store between many, and what it evicts before the
        load is a bit that is not set then."""
        task = self._new_task()
        self._run("lookup", task, len(keys), lambda: self._lookup(task, keys))
        return task

    def _lookup(self, task: int, keys: list[Any]) -> None:
        bitmap = self._bitmap(len(keys))
        found = self._transfer.lookup([self._names.of(key) for key in keys])
        for index, agent in enumerate(found):
            if agent >= 0:
                bitmap.set(index)
        self._complete("lookup", task, bitmap)

    def query_lookup_and_lock_result(self, task_id: int) -> Any:
        """The bitmap, once; None: not yet."""
        return self._pop("lookup", task_id)

    def submit_unlock(self, keys: list[Any]) -> None:
        """Nothing to do: nothing was locked."""

    # ---- load ------------------------------------------------------------------------------------

    def submit_load_task(self, keys: list[Any], objects: list[Any]) -> int:
        """Does not block. An object is read to the memory that it is given, or its bit is not set."""
        task = self._new_task()
        self._run("load", task, len(keys), lambda: self._load(task, keys, objects))
        return task

    def _load(self, task: int, keys: list[Any], objects: list[Any]) -> None:
        work = _Load(self._names, keys, objects, functools.partial(self._loaded, task, keys))
        try:
            self._transfer.run(self._transfer.fetch([want for want in work.wants if want is not None]))
        finally:
            work.over()

    def _loaded(self, task: int, keys: list[Any], hits: list[bool]) -> None:
        bitmap = self._bitmap(len(keys))
        accessed = []
        for index, hit in enumerate(hits):
            if hit:
                bitmap.set(index)
                accessed.append(keys[index])
        if accessed:
            self._notify_keys_accessed(accessed)
        self._complete("load", task, bitmap)

    def query_load_result(self, task_id: int) -> Any:
        """The bitmap, once; None: not yet."""
        return self._pop("load", task_id)

    def _run(self, kind: str, task: int, count: int, work: Callable[[], None]) -> None:
        """In a thread of the pool; a task whose work raises is complete, with no bit set."""

        def guarded() -> None:
            try:
                work()
            except Exception:
                logger.exception("BlueCache: a %s task failed", kind)
                self._complete(kind, task, self._bitmap(count))

        if self._closed or not self._transfer.usable():
            self._complete(kind, task, self._bitmap(count))
        else:
            self._pool.submit(guarded)

    # ---- the rest --------------------------------------------------------------------------------

    def delete(self, keys: list[Any]) -> None:
        """At every agent. Blocks, at most lookup_timeout_ms. Listeners are told of those that an agent had, and of
        those that were stored here and are gone by now; not of others. After close: nothing happens."""
        if self._closed:
            return
        removed = self._transfer.remove([self._names.of(key) for key in keys])
        with self._lock:
            pairs = [(key, self._sizes.pop(key, 0)) for key, had in zip(keys, removed) if had or key in self._sizes]
        self._notify(self._notify_keys_deleted, pairs)

    def report_status(self) -> dict[str, Any]:
        """is_healthy: the adapter works, as LMCache means it; the server works on without an agent. agents: whether
        each can be asked now."""
        states = {str(agent.endpoint): agent.state.value if agent.usable() or agent.state is not State.READY else "lost"
                  for agent in self.agents}
        return {"is_healthy": not self._closed, "type": type(self).__name__, "agents": states,
                "counters": self.counters.snapshot()}

    def close(self) -> None:
        """Waits for what is under way, at most timeout_ms. Again: nothing happens."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._transfer.close()
        self._pool.shutdown(wait=True)
        with self._lock:
            fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)


class _Store:
    """A store task: counts its objects."""

    def __init__(self, adapter: BlueCacheL2Adapter, task: int, keys: Sequence[Any], objects: Sequence[Any]) -> None:
        self._adapter = adapter
        self._task = task
        self._wanted = len(keys)
        self._lock = threading.Lock()
        self._keys: list[Any] = []
        self._good: list[int] = []
        self.stored: list[Stored] = []
        for key, obj in zip(keys, objects):
            try:
                self.stored.append(Stored(adapter.name_of(key), compat.place_of(obj), encode(compat.layout_of(obj))))
                self._keys.append(key)
            except (LayoutError, AttributeError) as error:
                adapter.counters.add("puts_dropped_unsupported")
                logger.warning("BlueCache: an object cannot be stored: %s", error)
        self._left = len(self.stored)

    def done(self, indexes: Sequence[int], stored: bool) -> None:
        with self._lock:
            self._left -= len(indexes)
            if stored:
                self._good += indexes
            last = self._left == 0
        if last:
            self._adapter.store_over(self._task, [self._keys[index] for index in self._good],
                                     [self.stored[index].place.length for index in self._good], self._wanted)


class _Load:
    """A load task. tell: called once, when nobody writes to the objects any more, with whether each was read."""

    def __init__(self, names: ServerNames, keys: Sequence[Any], objects: Sequence[Any],
                 tell: Callable[[list[bool]], None]) -> None:
        self._tell = tell
        self._objects = objects
        self._lock = threading.Lock()
        self._left = 1 + len(keys)  # the transfer itself, and each object
        self.wants: list[Want | None] = []
        for index, (key, obj) in enumerate(zip(keys, objects)):
            try:
                place, layout = compat.place_of(obj), compat.layout_of(obj)
            except (LayoutError, AttributeError) as error:
                logger.warning("BlueCache: an object cannot be loaded: %s", error)
                self.wants.append(None)
                continue
            self.wants.append(Want(names.of(key), place, layout, index, self._other, lambda _: self._some_over(1)))

    def _other(self, index: int, found: Layout) -> Place | Outcome:
        """The same tensor, of which fewer bytes were used (a serialized form), is read all the same."""
        want = self.wants[index]
        assert want is not None and want.layout is not None
        given = want.layout
        if found.shapes != given.shapes or found.dtypes != given.dtypes or found.length > given.length:
            return Outcome.MISMATCH
        obj = self._objects[index]
        if found.length < given.length and not compat.narrow(obj, found.length):
            return Outcome.MISMATCH
        return compat.place_of(obj)

    def over(self) -> None:
        """The transfer gave back all objects but those that are late."""
        self._some_over(1 + sum(want is None or not want.is_late for want in self.wants))

    def _some_over(self, count: int) -> None:
        with self._lock:
            self._left -= count
            last = self._left == 0
        if last:
            self._tell([want is not None and want.outcome is Outcome.HIT for want in self.wants])
