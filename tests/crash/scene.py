# SPDX-License-Identifier: Apache-2.0
"""A store, its agent, a few clients that load it and one that checks it; and the ways in which they are killed. After
each kill everything is made to stand still and is compared: what the objects show with what was acknowledged, what the
agent says of itself with the files under its root and with what it said before."""

import collections
import contextlib
import itertools
import os
import pathlib
import random
import re
import subprocess
import time

import agent as agents
import wire
from agent import HOST_PCI
from child import Child
from journal import ABSENT, Key, read, write_known, write_vanished
from load import check, load, names_of

GAUGES = ("bluecache_session_open", "bluecache_session_requests", "bluecache_session_regions",
          "bluecache_dma_imported_regions", "bluecache_dma_in_flight_tasks", "bluecache_staging_free_bytes")
SETTLE_SECONDS = 30
CHECK_SECONDS = 100


def settle(condition, what):
    """what: says what is wrong when the condition does not come true."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.005)


class Agent(agents.Agent):
    def spawn(self):
        """Starts it and does not wait until it listens."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.command, "--listen", self.address], env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def environment(world, agent):
    """A client's."""
    return {"DOCA_EMU_WORLD": world, "BLUECACHE_LOG": "info", "BLUECACHE_DPU_ADDR": agent.address,
            "BLUECACHE_PCI_ADDR": HOST_PCI, "BLUECACHE_TIMEOUT_MS": "20000"}


def statistics(agent):
    with wire.Client(agent.address) as client:
        assert client.greet()[0] == wire.OK
        client.send(wire.STATS, request_id=2)
        kind, _, body = client.receive()
        assert kind == wire.STATS_RESULT
        return wire.stats(body)


def file_sizes(path):
    """Of all files below; some may go meanwhile."""
    sizes = []
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                sizes.append(os.stat(os.path.join(folder, name)).st_size)
    return sizes


class Scene:
    """evicts: its capacity is too small for all objects. world: see the emulation."""

    def __init__(self, folder, world, backend, workers, memory_mb, owners=3, options=(), evicts=False):
        self.folder = pathlib.Path(folder)
        self.world = world
        self.backend = backend
        self.owners = owners
        self.evicts = evicts
        self.agent = Agent(folder, world, backend=backend, workers=workers, memory_mb=memory_mb, options=options)
        self.keys = {name: Key() for owner in range(owners) for name in names_of(owner)}
        self.loaders = [None] * owners
        self.checker = None
        self.numbers = itertools.count(1)

    def open(self):
        self.agent.start()
        self.checker = self._child(check, self.owners)
        self._open_loaders()
        self.checker.hear("open")
        self.quiet = self._gauges()
        # Statistics are asked for by a connection of its own: the agent notices its end a moment later.
        settle(lambda: self._sockets() == self.owners + 2, lambda: "%d sockets" % self._sockets())
        self.descriptors = self._descriptors()

    def close(self):
        """Everything goes, and is gone."""
        found = self._found("remove")
        assert set(found.values()) == {ABSENT}
        self._check_counts(found)
        settle(lambda: self._counts()[0]["used_bytes"] == 0, lambda: "%s when all is removed" % (self._counts()[0]))
        for child in (self.checker, *self.loaders):
            child.say("end")
            child.result()
        self.agent.stop()

    def clean_up(self):
        for child in (self.checker, *self.loaders):
            if child is not None and child.process.is_alive():
                child.kill()
        if self.agent.process is not None:
            self.agent.kill()

    def logs(self):
        logs = []
        for path in sorted(self.folder.glob("*.log")):
            lines = [line for line in path.read_text(errors="replace").splitlines() if "client wire" not in line]
            logs.append((path.name, "\n".join(lines[-100:])))
        return logs

    def _child(self, function, *arguments):
        return Child(function, arguments, environment(self.world, self.agent),
                     self.folder / ("client-%03d.log" % next(self.numbers)))

    def _open_loaders(self):
        fresh = [i for i, loader in enumerate(self.loaders) if loader is None]
        for i in fresh:
            self.loaders[i] = self._child(load, i, self.owners, self.evicts or self.backend == "dram")
        for i in fresh:
            self.loaders[i].hear("open")

    # --- a round ---

    def round(self, seed):
        """One kill. What it was, in a word."""
        rng = random.Random(seed)
        self._start_load(rng)
        time.sleep(rng.uniform(0, 0.15))
        what = rng.choices(("agent", "client", "both"), (5, 3, 2))[0]
        dead = rng.sample(range(self.owners), k=rng.randint(1, self.owners)) if what != "agent" else []
        victims = [self.loaders[i] for i in dead] + ([self.agent] if what != "client" else [])
        rng.shuffle(victims)
        for victim in victims:
            victim.kill()
        for i in dead:
            self.loaders[i] = None
        if what != "client":
            self._start_again(rng, stop_first=rng.random() < 0.6)
        else:
            time.sleep(rng.uniform(0, 0.05))
        self._stop_load()
        self._compare()
        return what

    def _journal(self, owner):
        return self.folder / ("journal-%d" % owner)

    def _start_load(self, rng):
        for i, loader in enumerate(self.loaders):
            write_known(self._journal(i), {name: self.keys[name] for name in names_of(i)})
            loader.say((str(self._journal(i)), rng.getrandbits(32)))
        self.running = True
        for loader in self.loaders:
            loader.hear("running")

    def _tell_to_stop(self):
        if self.running:
            self.running = False
            for loader in filter(None, self.loaders):
                loader.say("stop")

    def _stop_load(self):
        self._tell_to_stop()
        for loader in filter(None, self.loaders):
            loader.hear("stopped")

    def _start_again(self, rng, stop_first):
        """Sometimes it is killed again, in the middle of its start."""
        if self.backend == "dram":
            for i in range(self.owners):
                write_vanished(self._journal(i))
        if stop_first:
            self._tell_to_stop()
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            self.agent.spawn()
            time.sleep(rng.uniform(0, 0.05))
            self.agent.kill()
        self.agent.start()
        if not stop_first:
            time.sleep(rng.uniform(0, 0.1))

    # --- what is left ---

    def _compare(self):
        for i in range(self.owners):
            for name, key in read(self._journal(i)).items():
                self.keys[name] = key
        alive = sum(loader is not None for loader in self.loaders)
        # A session of a dead client goes when its last job has ended: only then its objects stand still.
        settle(lambda: self._gauges()["bluecache_session_open"] == alive + 2, lambda: "sessions of the dead stay")
        found = self._found()
        for name, version in found.items():
            allowed = self.keys[name].allowed() | ({ABSENT} if self.evicts else set())
            assert version in allowed, "%s shows version %d; what was acknowledged allows %s" % (
                name, version, sorted(allowed))
            self.keys[name].know(version)
        self._check_counts(found)
        self._open_loaders()
        settle(lambda: self._gauges() == self.quiet, lambda: "%s were %s" % (self._gauges(), self.quiet))
        settle(lambda: self._descriptors() == self.descriptors,
               lambda: "%s were %s" % (self._descriptors(), self.descriptors))

    def _found(self, order="look"):
        self.checker.say(order)
        assert self.checker.connection.poll(CHECK_SECONDS), "the checker does not come to an end"
        kind, found = self.checker.connection.recv()
        assert kind == "said", found
        return found

    def _counts(self):
        """What the store says of itself, and what lies there."""
        values = statistics(self.agent)
        said = {name: values["bluecache_%s_%s" % (self.backend, name)] for name in ("objects", "used_bytes")}
        if self.backend != "posix":
            return said, said
        sizes = file_sizes(self.agent.root / "objects")
        return dict(said, temporary=0), {"objects": len(sizes), "used_bytes": sum(sizes),
                                         "temporary": len(file_sizes(self.agent.root / "tmp"))}

    def _check_counts(self, found):
        present = sum(version != ABSENT for version in found.values())

        def fit():
            said, counted = self._counts()
            return said == counted and said["objects"] == present

        settle(fit, lambda: "%d objects are there; these were said and counted: %s" % (present, self._counts()))
        assert self.evicts or statistics(self.agent)["bluecache_%s_evictions_total" % self.backend] == 0

    def _gauges(self):
        values = statistics(self.agent)
        gauges = {name: values[name] for name in GAUGES}
        if self.backend == "dram":
            del gauges["bluecache_staging_free_bytes"]  # is where the objects are
        return gauges

    def _sockets(self):
        return self._descriptors()["socket:[]"]

    def _descriptors(self):
        """How many of each kind the agent has, but for files of objects: some stay open for the next reader. None of
        a file that is gone."""
        kinds = collections.Counter()
        folder = "/proc/%d/fd" % self.agent.process.pid
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                link = os.readlink(os.path.join(folder, name))
                if not link.startswith(str(self.agent.root / "objects")) or link.endswith("(deleted)"):
                    kinds[re.sub(r"[0-9]+", "", link)] += 1
        return kinds
