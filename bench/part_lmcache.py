# SPDX-License-Identifier: Apache-2.0
"""What users of LMCache would take instead: its own backends beside ours, each through LMCache's StorageManager in a
process of its own (lmcache_backend.py).

On disk: puts end with syncfs, gets begin with an empty page cache. In memory: files on tmpfs, Redis, our `dram`."""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile

import machine
import redis_peer
from parts import GIB, KIB, MIB, STAGING_MIN, alternate, cpu_ms_per_gib, gigabytes
from part_posix import DEVICE_LOW
from programs import Failure, Program

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PART_DISK, PART_MEMORY, PART_LOOKUP, PART_CPU = PARTS = (
    "lmcache disk", "lmcache memory", "lmcache contains", "lmcache cpu")
LAYERS = {"4 MiB": 32, "256 KiB": 2}  # what lmcache_backend.py makes of them
SIZES = {"4 MiB": 4 * MIB, "256 KiB": 256 * KIB}
CALL = 64            # objects in a call of put or get
LOOKUP = 256         # keys in a call of contains
LOOKUPS = 11         # such calls of a turn
OPEN_SECONDS = 120
PATCH_SECONDS = 60
MEMORY_ROOT = "/dev/shm"
DROP_CACHES = "/proc/sys/vm/drop_caches"
RELEASE, PATCHED_RELEASE = "0.5.6", "0.4.3"
CPU_LEAST = 0.1      # ms/GiB: less cannot be told from nothing

PLUGIN, PATCH = OURS = "BlueCache, plugin", "BlueCache, patch"
LOCAL_DISK = "LMCache local_disk"
STATIC, STATIC_DIRECT = "NIXL POSIX static", "NIXL POSIX static, O_DIRECT"
DYNAMIC, DYNAMIC_DIRECT = "NIXL POSIX dynamic", "NIXL POSIX dynamic, O_DIRECT"
REDIS, RESP = "Redis", "Redis, resp"
NOTHING, NOTHING_OWN = "nothing", "nothing, own pool"
SUBTRACTED = {PATCH: NOTHING_OWN}  # what is LMCache's own; NOTHING for the others
REMEMBERS = (LOCAL_DISK, STATIC, STATIC_DIRECT)  # they answer contains from a dictionary
PEERS = {"disk": (LOCAL_DISK, STATIC, STATIC_DIRECT, DYNAMIC, DYNAMIC_DIRECT),
         "memory": (LOCAL_DISK, STATIC, DYNAMIC, REDIS, RESP)}
STORE = {"disk": "posix", "memory": "dram"}
AIM_RATE, AIM_LOOKUP, AIM_CPU = ("ratio", ">=", 1.0), ("ratio", "<=", 1.0), ("ratio", "<=", 0.33)


class Place:
    """One of the two kinds of place, with its parties. A context."""

    def __init__(self, bench, kind, size, count):
        self.bench, self.kind, self.size, self.count = bench, kind, size, count
        self.stack = contextlib.ExitStack()
        self.folder = self.agent = self.redis = None
        self.stat = machine.device_stat(bench.settings.root) if kind == "disk" else None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            root = self.bench.scratch if self.kind == "disk" else MEMORY_ROOT
            self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-lmcache-", dir=root))
            self.agent = stack.enter_context(self.start_agent())
            if self.kind == "memory":
                self.start_redis(stack)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start_agent(self):
        if self.kind == "disk":
            store = os.path.join(self.folder, "store")
            os.mkdir(store)
            return self.bench.agent("posix", STAGING_MIN, "--root", store)
        return self.bench.agent("dram", STAGING_MIN + 5 * self.count * SIZES[self.size] // (4 * MIB))

    def start_redis(self, stack):
        try:
            self.redis = stack.enter_context(redis_peer.Server(self.bench.log("redis")))
        except Failure as failure:
            self.bench.skip(PART_MEMORY, "Redis", failure)

    # --- parties ----------------------------------------------------------------------------
    def settings(self, name):
        """What the program of a party is told; None: it cannot be measured here."""
        given = {"layers": LAYERS[self.size], "objects": self.count}
        root = os.path.join(self.folder, name.replace(" ", "-").replace(",", ""))
        if name in OURS:
            return {**given, "backend": "bluecache " + name.split()[-1], "addr": self.agent.address}
        if name in (NOTHING, NOTHING_OWN):
            return {**given, "backend": name}
        if name in (REDIS, RESP):
            if self.redis is None:
                return None
            url = "unix://" + self.redis.path if name == REDIS else "resp://127.0.0.1:%d" % self.redis.port
            return {**given, "backend": "remote", "url": url}
        os.mkdir(root)
        if name == LOCAL_DISK:
            return {**given, "backend": "local_disk", "root": root}
        return {**given, "backend": "nixl posix", "root": root, "direct": "O_DIRECT" in name,
                "slots": self.count if name in (STATIC, STATIC_DIRECT) else 0}

    def party(self, program):
        """A turn: put, contains, get, remove. Its bytes are looked at by the program itself, which has overwritten its
        memory before and on disk gets nothing out of the page cache."""

        def run(_warm):
            seed = next(self.bench.seeds)
            disk = self.kind == "disk"
            sample, answer = {}, {}
            for op, words in (("put", [CALL, *([self.folder] if disk else [])]), ("get", [CALL])):
                if op == "get":
                    answer.update(program.ask("contains", seed, min(LOOKUP, self.count), LOOKUPS))
                    if disk:
                        drop_page_cache()
                before = machine.device_bytes(self.stat)
                answer.update(program.ask(op, seed, self.count, *words))
                sample[op + "_device_bytes"] = machine.device_bytes(self.stat) - before
            program.ask("remove", seed, self.count)
            if self.redis is not None and program.name in (REDIS, RESP):
                self.redis.flush()
            return {**answer, **sample}

        return run

    def parties(self, names, patched):
        """name -> party, of those that can be measured here. They load LMCache all at the same time."""
        programs = {}
        for name in names:
            try:
                given = self.settings(name)
                if given is not None:
                    programs[name] = self.stack.enter_context(start_program(self.bench, name, given, patched))
                    programs[name].tell("open")
            except Failure as failure:
                self.bench.skip(part_of(self.kind), name, failure)
                programs.pop(name, None)
        ready = {}
        for name, program in programs.items():
            try:
                program.answer(OPEN_SECONDS)
                ready[name] = self.party(program)
            except Failure as failure:
                self.bench.skip(part_of(self.kind), name, failure)
        return ready


def part_of(kind):
    return {"disk": PART_DISK, "memory": PART_MEMORY}[kind]


def start_program(bench, name, given, patched):
    release = PATCHED_RELEASE if name in (PATCH, NOTHING_OWN) else RELEASE
    python = os.path.join(bench.settings.venvs, "venv-lmcache-" + release, "bin", "python")
    if not os.access(python, os.X_OK):
        raise Failure("no Python with LMCache at %s; scripts/setup.sh --lmcache makes one" % python)
    path = [os.path.join(ROOT, "python", "src")]
    environment = dict(bench.environment, LMCACHE_TRACK_USAGE="false", LMCACHE_LOG_LEVEL="WARNING",
                       NIXL_LOG_LEVEL="WARN", PYTHONHASHSEED="0", OMP_NUM_THREADS="1",
                       BLUECACHE_LIBRARY=os.path.join(bench.settings.build, "host", "libbluecache.so"))
    if release == PATCHED_RELEASE:
        if patched is None:
            raise Failure("LMCache %s could not be patched" % PATCHED_RELEASE)
        path.insert(0, patched)
    if name == PATCH:
        environment["NIXL_PLUGIN_DIR"] = os.path.join(bench.settings.build, "nixl-plugin")
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return Program(name, [python, os.path.join(HERE, "lmcache_backend.py"), json.dumps(given)],
                   bench.log("lmcache-" + name.replace(" ", "-").replace(",", "")), environment)


def patched_copy(bench):
    """The folder of a patched copy of LMCache; None, and a word in the report, when it cannot be made. Its compiled
    modules are links."""
    site = os.path.join(bench.settings.venvs, "venv-lmcache-" + PATCHED_RELEASE, "lib")
    found = [os.path.join(folder, "lmcache") for folder, folders, _ in os.walk(site)
             if folder.endswith("site-packages") and "lmcache" in folders]
    try:
        if not found:
            raise Failure("there is no LMCache %s in %s" % (PATCHED_RELEASE, site))
        target = os.path.join(bench.scratch, "patched")
        shutil.copytree(found[0], os.path.join(target, "lmcache"), ignore=shutil.ignore_patterns("__pycache__"),
                        copy_function=lambda at, to: (shutil.copyfile if at.endswith(".py") else os.symlink)(at, to))
        done = subprocess.run([os.path.join(ROOT, "examples", "lmcache", "patch_lmcache.sh"), target],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATCH_SECONDS, check=False)
        if done.returncode != 0:
            raise Failure(done.stdout.strip().splitlines()[-1])
        return target
    except (Failure, OSError, subprocess.TimeoutExpired) as failure:
        bench.skip(PART_DISK, PATCH, failure)
        return None


def drop_page_cache():
    """Everything is clean: the put has ended with syncfs."""
    try:
        with open(DROP_CACHES, "w", encoding="ascii") as file:
            file.write("3\n")
        return True
    except OSError:
        return False


# --- rows ---------------------------------------------------------------------------------------
class Rows:
    """Of one place and one size. samples: name -> those of its turns."""

    def __init__(self, bench, place, samples, cold):
        self.bench, self.place, self.samples, self.cold = bench, place, samples, cold
        self.ours = [name for name in OURS if name in samples]
        self.peers = [name for name in PEERS[place.kind] if name in samples]
        self.shape = "%d x %s" % (place.count, place.size)

    def what(self, op, name):
        return "%s %s, %s, %s" % (op, self.shape, STORE[self.place.kind], name.split(", ")[1])

    def rates(self):
        disk = self.place.kind == "disk"
        for op in ("put", "get"):
            rates = {name: gigabytes(self.samples[name], op) for name in self.ours + self.peers}
            best = max(self.peers, key=lambda name: statistics.median(rates[name]), default=None)
            for name in self.ours:
                for peer in self.peers:
                    self.bench.row(part_of(self.place.kind), self.what(op, name), peer, "GB/s", rates[name],
                                   rates[peer], "higher", AIM_RATE if disk and peer == best else None,
                                   note=self.note(op, name, peer))

    def note(self, op, name, peer):
        if self.place.kind != "disk":
            return None
        if op == "get" and not self.cold:
            return "not root: the page cache was not emptied before gets"
        if self.place.stat is None:
            return "device bytes not checked: the file system's device is not in /sys/dev/block"
        least = min(sample[op + "_device_bytes"] / sample["bytes"]
                    for who in (name, peer) for sample in self.samples[who])
        if least < DEVICE_LOW:
            return "the device moved only %.2f of the objects' bytes in a turn: the rest stayed in a cache" % least
        return None

    def lookups(self):
        times = {name: [sample["contains_ns"] / 1e3 for sample in self.samples[name]]
                 for name in self.ours + self.peers}
        asking = [peer for peer in self.peers if peer not in REMEMBERS]
        best = min(asking, key=lambda name: statistics.median(times[name]), default=None)
        keys = min(LOOKUP, self.place.count)
        for name in self.ours:
            for peer in self.peers:
                what = "contains of %d keys of %s, %s, %s" % (keys, self.place.size, STORE[self.place.kind],
                                                              name.split(", ")[1])
                note = ("it answers from a dictionary of its own process, and asks no storage"
                        if peer in REMEMBERS else None)
                self.bench.row(PART_LOOKUP, what, peer, "us", times[name], times[peer], "lower",
                               AIM_LOOKUP if peer == best and keys == LOOKUP else None, note=note)

    def net(self, name, op):
        """Processor time without that of LMCache itself, turn by turn."""
        own = statistics.median(cpu_ms_per_gib(self.samples[SUBTRACTED.get(name, NOTHING)], op))
        return [max(CPU_LEAST, value - own) for value in cpu_ms_per_gib(self.samples[name], op)]

    def processor(self):
        known = [name for name in self.ours + self.peers if SUBTRACTED.get(name, NOTHING) in self.samples]
        for op in ("put", "get"):
            net = {name: self.net(name, op) for name in known}
            peers = [name for name in self.peers if name in net]
            best = min(peers, key=lambda name: statistics.median(net[name]), default=None)
            for name in known:
                for peer in peers if name in OURS else ():
                    self.bench.row(PART_CPU, "host, " + self.what(op, name), peer, "ms/GiB", net[name], net[peer],
                                   "lower", AIM_CPU if peer == best else None)


def measure_place(bench, kind, size, count, patched):
    wanted = [*OURS, *PEERS[kind], NOTHING, NOTHING_OWN]
    chosen = bench.settings.kv_parties
    if chosen:
        wanted = [name for name in wanted if name in chosen or name in (PLUGIN, NOTHING, NOTHING_OWN)]
    with Place(bench, kind, size, count) as place:
        parties = place.parties(wanted, patched)
        if PLUGIN not in parties:
            raise Failure("%s, %s: BlueCache's plugin could not be measured" % (kind, size))
        cold = kind != "disk" or drop_page_cache()
        samples = alternate(bench, part_of(kind), parties)
        if PLUGIN not in samples:
            raise Failure("%s, %s: BlueCache's plugin failed" % (kind, size))
        rows = Rows(bench, place, samples, cold)
        rows.rates()
        rows.lookups()
        rows.processor()


def measure_lmcache(bench):
    """objects of 4 MiB and of 256 KiB through LMCache's StorageManager: put, get and contains of BlueCache's plugin and
    patch against LMCache local_disk, NIXL POSIX and Redis; on disk and in memory; processor time of the host. Only when
    asked for with --only"""
    bench.skip(PART_DISK, "LMCache GDS", "without a GPU its start is refused, also with use_cufile: false")
    patched = patched_copy(bench)
    for kind in bench.settings.kv_places:
        for size, count in zip(SIZES, bench.settings.kv_objects):
            if count > 0:
                measure_place(bench, kind, size, count, patched)
