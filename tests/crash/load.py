# SPDX-License-Identifier: Apache-2.0
"""The client processes of the crash tests. A loader pushes, overwrites, pulls and removes its own objects, reads those
of others, and writes down what it does; the checker looks at all of them when everything stands still."""

import ctypes
import random

import bluecache_client as host
from bluecache_client import NOT_FOUND, OK, PULL, PUSH
from contents import PAGE, SIZE_MAX, contents, size_of, version_of
from journal import ABSENT, DONE, LOST, REFUSED, Journal

BUFFERS = 3
KEYS = 6
ORDER_SECONDS = 200
# A request that ended so may have been carried out.
UNKNOWN = (host.DISCONNECTED, host.TIMED_OUT, host.CANCELLED, host.SHUTTING_DOWN)


def names_of(owner):
    return ["c%d/%d" % (owner, i) for i in range(KEYS)]


class Client(host.Client):
    def remove(self, names):
        keys = (host._Key * len(names))()
        for key, name in zip(keys, names):
            key.data, key.len = name.encode(), len(name.encode())
        statuses = (ctypes.c_int * len(names))()
        rc = self.library.bc_remove(ctypes.c_void_p(self.handle), keys, ctypes.c_size_t(len(names)),
                                    ctypes.c_uint64(0), statuses)
        return [host.DISCONNECTED] * len(names) if rc != 0 else list(statuses)

    def look_up(self, name):
        """(status, size)"""
        keys, infos = (host._Key * 1)(), (host._Info * 1)()
        keys[0].data, keys[0].len = name.encode(), len(name.encode())
        rc = self.library.bc_query(self.handle, keys, 1, 0, infos)
        return (host.DISCONNECTED if rc != 0 else infos[0].status), infos[0].size


class Loader:
    """owner: the number in the names of its own objects. may_vanish: what was stored may be evicted, or was in memory
    that ended with the agent."""

    def __init__(self, owner, owners, may_vanish):
        self.client = Client()
        self.owner = owner
        self.owners = owners
        self.may_vanish = may_vanish
        self.memories = [self.client.memory(SIZE_MAX, shareable=owner % 2 == 0) for _ in range(BUFFERS)]
        self.busy = set()  # own names with an operation under way
        self.running = []  # (how to end it, memory)

    def run(self, path, seed, stopped):
        """Until stopped() says so; then everything that was sent has ended."""
        self.journal = Journal(path)
        self.random = random.Random(seed)
        while not stopped():
            if len(self.running) == BUFFERS:
                self._end_first()
            step = self.random.choices((self._push, self._pull, self._pull_of_others, self._remove), (60, 15, 10, 15))[0]
            if not step() and self.running:
                self._end_first()
        while self.running:
            self._end_first()
        self.journal.close()

    def _end_first(self):
        end, memory = self.running.pop(0)
        end()
        self.memories.append(memory)

    def _idle_names(self, most):
        names = [name for name in names_of(self.owner) if name not in self.busy]
        return self.random.sample(names, k=min(len(names), self.random.randint(1, most)))

    # Steps: False when there was nothing to do.

    def _push(self):
        """One to three objects in one request, as many as fit the memory; each perhaps in pieces of any order."""
        memory = self.memories[-1]
        parts, entries, at = [], [], 0
        for name in self._idle_names(3):
            version = self.journal.next_version(name)
            size = size_of(name, version)
            if at + size > memory.length:
                break
            memory.write(contents(name, version).tobytes(), at)
            cut = PAGE * self.random.randint(1, -(-size // PAGE))
            pieces = [(begin, end) for begin, end in ((0, min(cut, size)), (cut, size)) if begin < end]
            self.random.shuffle(pieces)
            entries += [(memory, at + begin, name, begin, end - begin) for begin, end in pieces]
            parts.append((name, version, len(entries) - 1))
            at += size
        if not parts:
            return False
        for name, version, _ in parts:
            self.journal.begin(name, version)
            self.busy.add(name)
        request = self.client.submit(PUSH, entries)
        self.running.append((lambda: self._pushed(request, parts), self.memories.pop()))
        return True

    def _pushed(self, request, parts):
        request.wait()
        for name, version, entry in parts:
            status = request.entry_status(entry)
            assert status in (OK, *UNKNOWN) or (self.may_vanish and status == host.NO_SPACE), (name, version, status)
            self.journal.end(name, version, LOST if status in UNKNOWN else DONE if status == OK else REFUSED)
            self.busy.discard(name)
        assert request.free() == 0

    def _pull(self):
        for name in self._idle_names(1):
            status, size = self.client.look_up(name)
            self._check(name, status, None)
            if status == OK:
                self.busy.add(name)
                self._start_pull(name, size, self._pulled)
            return True
        return False

    def _start_pull(self, name, size, pulled):
        assert 0 < size <= SIZE_MAX, (name, size)
        memory = self.memories.pop()
        request = self.client.submit(PULL, [(memory, 0, name, 0, size)])
        self.running.append((lambda: pulled(name, request.end(), memory, size), memory))

    def _pulled(self, name, status, memory, size):
        self.busy.discard(name)
        self._check(name, status, version_of(name, memory.read(0, size)) if status == OK else None)

    def _check(self, name, status, version):
        """Nobody else changes it, and nothing of it is under way."""
        allowed = self.journal.keys[name].allowed()
        if status == OK:
            assert version is None or version in allowed, (name, version, allowed)
            assert version is not None or allowed != {ABSENT}, (name, "is there")
        elif status not in UNKNOWN:
            assert status == NOT_FOUND, (name, status)
            assert self.may_vanish or ABSENT in allowed, (name, allowed, "is gone")

    def _pull_of_others(self):
        name = self.random.choice(names_of((self.owner + self.random.randrange(1, self.owners)) % self.owners))
        status, size = self.client.look_up(name)
        if status == OK:
            self._start_pull(name, size, self._pulled_of_others)
        return True

    def _pulled_of_others(self, name, status, memory, size):
        if status == OK:
            # It may have been replaced by a longer one since its size was asked for.
            version_of(name, memory.read(0, size), whole=False)
        else:
            assert status in (NOT_FOUND, host.RANGE, *UNKNOWN), (name, status)

    def _remove(self):
        names = self._idle_names(2)
        for name in names:
            self.journal.begin(name, ABSENT)
        for name, status in zip(names, self.client.remove(names) if names else []):
            assert status in (OK, NOT_FOUND, *UNKNOWN), (name, status)
            self.journal.end(name, ABSENT, LOST if status in UNKNOWN else DONE)
        return bool(names)


def next_order(line):
    assert line.connection.poll(ORDER_SECONDS), "nobody says what to do next"
    return line.connection.recv()[1]


def load(line, owner, owners, may_vanish):
    """A loader: for each (path, seed) that it is told it runs until it is told anything more."""
    loader = Loader(owner, owners, may_vanish)
    line.say("open")
    while (order := next_order(line)) != "end":
        path, seed = order
        line.say("running")
        loader.run(path, seed, lambda: line.connection.poll(0))
        line.hear("stop")
        line.say("stopped")
    assert loader.client.close() == 0


def check(line, owners):
    """The checker: {name: version or ABSENT} as often as it is asked; removes everything when asked to."""
    client = Client()
    memory = client.memory(SIZE_MAX)
    names = [name for owner in range(owners) for name in names_of(owner)]
    line.say("open")
    while (order := next_order(line)) != "end":
        if order == "remove":
            assert all(status in (OK, NOT_FOUND) for status in client.remove(names))
        found = {}
        for name in names:
            status, size = client.look_up(name)
            if status == OK:
                assert 0 < size <= SIZE_MAX, (name, size)
                status = client.submit(PULL, [(memory, 0, name, 0, size)]).end()
                assert status == OK, (name, status)
                found[name] = version_of(name, memory.read(0, size))
            else:
                assert status == NOT_FOUND, (name, status)
                found[name] = ABSENT
        line.say(found)
    assert client.close() == 0
