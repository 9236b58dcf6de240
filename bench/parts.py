# SPDX-License-Identifier: Apache-2.0
"""What is measured, part by part. A part starts its programs, lets them take turns, and returns rows.

Turns: in every pair each party runs once, and the order rotates from pair to pair, so that neither a drift of the
machine nor who comes after whom favours anybody. One turn of each before the first pair counts for nothing."""

import contextlib
import itertools
import os
import shutil

import report
from programs import Agent, Failure, Program, clean_environment, run_fio

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SHAPES = ((64, MIB, "64 x 1 MiB"), (1024, 64 * KIB, "1024 x 64 KiB"))
CHUNK = MIB              # the agent's default
BLOCK = 64 * KIB         # of one pull of the latency part
POSIX_BATCH = 64         # objects of 1 MiB in a request
POSIX_WINDOW = 2         # requests in flight
ECHO_BYTES = 64
STAGING_MIN = 256        # MiB: the agent's default
OURS = "BlueCache"
OURS_SHARED = "BlueCache, shareable memory"
THROUGH_NIXL = "BlueCache through NIXL"
NIXL = "NIXL POSIX"
KINDS = {"shared": "shareable memory", "malloc": "malloc'd memory"}


class Bench:
    """Where things are, what was asked for, and what came out."""

    def __init__(self, settings, scratch):
        self.settings = settings
        self.scratch = scratch
        self.environment = clean_environment("bench-%d" % os.getpid())
        self.rows = []
        self.skipped = []
        self.seeds = itertools.count(1)

    def log(self, name):
        return os.path.join(self.scratch, name + ".log")

    def program(self, name, *arguments):
        path = os.path.join(self.settings.build, "bench", name)
        return Program(name, [path, *arguments], self.log(name), self.environment)

    def agent(self, backend, staging_mib, *options):
        return Agent(self.settings.build, backend, staging_mib, self.settings.depth, self.log("agent"),
                     self.environment, options)

    def skip(self, part, what, reason):
        self.skipped.append({"part": part, "what": what, "reason": str(reason)})

    def row(self, *arguments, **named):
        self.rows.append(report.make_row(*arguments, **named))


def alternate(bench, part, parties):
    """parties: name -> function(warm up: bool) -> sample. Returns name -> samples; a party that fails is out, with a
    word in the report; without OURS there is nothing to report."""
    parties, samples = dict(parties), {}
    for turn in range(-1, bench.settings.pairs):
        names = list(parties)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            try:
                sample = parties[name](turn < 0)
            except Failure as failure:
                if name == OURS:
                    raise
                bench.skip(part, name, failure)
                del parties[name]
                samples.pop(name, None)
                continue
            if turn >= 0:
                samples.setdefault(name, []).append(sample)
    return samples


def gigabytes(samples, op):
    """Per second, sample by sample."""
    return [sample["bytes"] / sample[op + "_ns"] for sample in samples]


def cpu_ms_per_gib(samples, op, key="_cpu_ns"):
    return [sample[op + key] / 1e6 / (sample["bytes"] / GIB) for sample in samples]


# --- dram ---------------------------------------------------------------------------------------
def dram_parties(bench, shape, kind, ours, loop, raw):
    count, size, _ = shape
    requests = bench.settings.ring // (count * size)

    def own(warm):
        return ours.ask("round", count, size, requests, 1, next(bench.seeds), int(warm))

    def bare(_warm):
        return loop.ask("round", count, size, requests, next(bench.seeds))

    def copy(routine):
        return lambda _warm: raw.ask("round", count, size, requests, next(bench.seeds), routine)

    parties = {OURS: own, "bare loop on doca-emu": bare}
    if kind == "shared":
        parties["raw copy, the emulation's"] = copy("emulation")
        parties["raw copy, memcpy"] = copy("memcpy")
    else:
        parties["raw copy, process_vm"] = copy("system")
    return parties


def dram_rows(bench, shape, kind, samples):
    count, _, shape_name = shape
    aim = ("ratio", ">=", 0.90 if count == 64 else 0.75)
    for op in ("push", "pull"):
        what = "%s %s, %s" % (op, shape_name, KINDS[kind])
        for name in samples:
            if name != OURS:
                bench.row("dram", what, name, "GB/s", gigabytes(samples[OURS], op), gigabytes(samples[name], op),
                          "higher", aim if name.startswith("bare") else None)


def dram_cpu_rows(bench, shape, kind, samples):
    """Processor time beside that of a host thread that copies the bytes itself."""
    count, _, shape_name = shape
    copier = next((name for name in ("raw copy, memcpy", "raw copy, process_vm") if name in samples), None)
    if copier is None:
        return
    for op in ("push", "pull"):
        what = "%s %s, %s" % (op, shape_name, KINDS[kind])
        theirs = cpu_ms_per_gib(samples[copier], op)
        bench.row("cpu", "host, " + what, copier, "ms/GiB", cpu_ms_per_gib(samples[OURS], op), theirs, "lower",
                  ("value", "<=", 5) if count == 64 else None)
        bench.row("cpu", "agent, " + what, copier, "ms/GiB",
                  cpu_ms_per_gib(samples[OURS], op, "_agent_cpu_ns"), theirs, "lower")


def staging_mib(bench):
    """Room for two rings of objects."""
    return max(STAGING_MIN, 2 * bench.settings.ring // MIB)


def measure_dram(bench):
    """One request in flight; the memory is a ring through which requests go."""
    ring = "ring=%d" % bench.settings.ring
    chunk = "chunk=%d" % CHUNK
    results = []
    for kind in KINDS:
        memory = "memory=" + kind
        with contextlib.ExitStack() as stack:
            agent = stack.enter_context(bench.agent("dram", staging_mib(bench)))
            loop = stack.enter_context(
                bench.program("emu_loop", memory, ring, chunk, "depth=%d" % bench.settings.depth))
            raw = stack.enter_context(bench.program("raw_copy", memory, ring, chunk))
            ours = stack.enter_context(
                bench.program("push_pull", "addr=" + agent.address, memory, ring, "agent=%d" % agent.pid))
            for shape in SHAPES:
                results.append((shape, kind, alternate(bench, "dram", dram_parties(bench, shape, kind, ours, loop, raw))))
    for shape, kind, samples in results:
        dram_rows(bench, shape, kind, samples)
    for shape, kind, samples in results:
        dram_cpu_rows(bench, shape, kind, samples)


# --- posix --------------------------------------------------------------------------------------
def fio_party(bench, folder):
    """New files of 1 MiB, each created, written whole with O_DIRECT and closed; then read in the same order."""
    files = bench.settings.bytes // MIB
    common = ["--name=bench", "--directory=" + folder, "--filename_format=f.$filenum", "--ioengine=io_uring",
              "--iodepth=%d" % bench.settings.depth, "--direct=1", "--bs=1M", "--filesize=1M", "--nrfiles=%d" % files,
              "--size=%d" % bench.settings.bytes, "--file_service_type=sequential",
              "--openfiles=%d" % (2 * bench.settings.depth), "--fallocate=none"]

    def run(_warm):
        os.mkdir(folder)
        sample = {}
        try:
            for op, kind in (("push", "write"), ("pull", "read")):
                job = run_fio([*common, "--rw=" + kind, *(["--create_on_open=1"] if op == "push" else [])])
                sample["bytes"] = job[kind]["io_bytes"]
                sample[op + "_ns"] = max(1, job[kind]["runtime"]) * 1_000_000
                sample[op + "_cpu_ns"] = int((job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] * 1e6)
        finally:
            shutil.rmtree(folder)
        if sample["bytes"] != bench.settings.bytes:
            raise Failure("fio moved %d bytes of %d" % (sample["bytes"], bench.settings.bytes))
        return sample

    return run


def nixl_program(bench, stack, backend, *arguments):
    """None when it cannot be measured here."""
    environment = dict(bench.environment)
    if backend == "DOCA_DMA_PROXY":
        # Takes the place of the wheel's own folder, so not for the other.
        environment["NIXL_PLUGIN_DIR"] = os.path.join(bench.settings.build, "nixl-plugin")
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nixl_posix.py")
    name = "NIXL's plugin " + backend
    try:
        if not os.access(bench.settings.python, os.X_OK):
            raise Failure("no Python with NIXL at %s; scripts/setup.sh --python-latest makes one"
                          % bench.settings.python)
        return stack.enter_context(
            Program(name, [bench.settings.python, script, "backend=" + backend, "ring=%d" % bench.settings.ring,
                           *arguments], bench.log("nixl-" + backend), environment))
    except Failure as failure:
        bench.skip("posix", name, failure)
        return None


def own_posix_party(bench, ours, shape, objects):
    def run(warm):
        seed = next(bench.seeds)
        sample = ours.ask("round", *shape, seed, int(warm))
        ours.ask("remove", "bench/%d/" % seed, objects)
        return sample

    return run


def nixl_parties(bench, stack, agent, ours, shape, objects):
    """NIXL's own plugin; and BlueCache as a NIXL program sees it, when there is the first to compare with."""
    folder = os.path.join(bench.scratch, "nixl")
    os.mkdir(folder)
    theirs = nixl_program(bench, stack, "POSIX", "root=" + folder, "queue=" + bench.settings.nixl_queue)
    if theirs is None:
        return {}
    parties = {NIXL: lambda _warm: theirs.ask("round", *shape, next(bench.seeds))}
    proxy = nixl_program(bench, stack, "DOCA_DMA_PROXY", "addr=" + agent.address)
    if proxy is not None:

        def through_nixl(_warm):
            seed = next(bench.seeds)
            sample = proxy.ask("round", *shape, seed)
            ours.ask("remove", "nixl/%d/" % seed, objects)  # NIXL has no call for it
            return sample

        parties[THROUGH_NIXL] = through_nixl
    return parties


def posix_parties(bench, stack, agent):
    objects = bench.settings.bytes // MIB
    shape = (POSIX_BATCH, MIB, objects // POSIX_BATCH, POSIX_WINDOW)
    programs = {}
    for kind in KINDS:
        programs[kind] = stack.enter_context(
            bench.program("push_pull", "addr=" + agent.address, "memory=" + kind, "ring=%d" % bench.settings.ring,
                          "agent=%d" % agent.pid))
    parties = {OURS: own_posix_party(bench, programs["malloc"], shape, objects),
               OURS_SHARED: own_posix_party(bench, programs["shared"], shape, objects)}
    if shutil.which("fio") is None:
        bench.skip("posix", "fio", "fio is not installed; scripts/setup.sh --bench installs it")
    else:
        parties["fio"] = fio_party(bench, os.path.join(bench.scratch, "fio"))
    parties.update(nixl_parties(bench, stack, agent, programs["malloc"], shape, objects))
    return parties


def measure_posix(bench):
    """Objects of 1 MiB, new ones each round, on the file system of --root."""
    store = os.path.join(bench.scratch, "store")
    os.mkdir(store)
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("posix", STAGING_MIN, "--root", store))
        samples = alternate(bench, "posix", posix_parties(bench, stack, agent))
    pairs = [(OURS, "malloc'd memory", "fio", 0.85), (OURS_SHARED, "shareable memory", "fio", 0.85),
             (OURS, "malloc'd memory", NIXL, 1.0), (THROUGH_NIXL, "malloc'd memory, through NIXL", NIXL, 1.0)]
    pairs = [pair for pair in pairs if pair[0] in samples and pair[2] in samples]
    for op in ("push", "pull"):
        for name, how, peer, aim in pairs:
            bench.row("posix", "%s 1 MiB objects, %s" % (op, how), peer, "GB/s", gigabytes(samples[name], op),
                      gigabytes(samples[peer], op), "higher", ("ratio", ">=", aim))
    for op in ("push", "pull"):
        for name, how, peer, _ in pairs:
            what = "posix %s, %s" % (op, how)
            theirs = cpu_ms_per_gib(samples[peer], op)
            bench.row("cpu", "host, " + what, peer, "ms/GiB", cpu_ms_per_gib(samples[name], op), theirs, "lower")
            if name != THROUGH_NIXL:
                bench.row("cpu", "agent, " + what, peer, "ms/GiB",
                          cpu_ms_per_gib(samples[name], op, "_agent_cpu_ns"), theirs, "lower")


# --- latency ------------------------------------------------------------------------------------
def measure_latency(bench):
    """One pull of 64 KiB at a time, beside a small message and its answer over TCP."""
    pulls = bench.settings.pulls
    seed = next(bench.seeds)
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("dram", staging_mib(bench)))
        ours = stack.enter_context(bench.program("push_pull", "addr=" + agent.address, "memory=shared",
                                                 "ring=%d" % bench.settings.ring, "agent=%d" % agent.pid))
        echo = stack.enter_context(bench.program("tcp_echo", "bytes=%d" % ECHO_BYTES))
        apart = stack.enter_context(bench.program("tcp_echo", "bytes=%d" % ECHO_BYTES, "apart=1"))
        samples = alternate(bench, "latency", {
            OURS: lambda _warm: ours.ask("latency", pulls, BLOCK, "wait", seed),
            "echo, sleeping": lambda _warm: echo.ask("echo", pulls, "wait"),
            "echo, sleeping, two cores": lambda _warm: apart.ask("echo", pulls, "wait"),
            "pull, polling": lambda _warm: ours.ask("latency", pulls, BLOCK, "spin", seed),
            "echo, polling": lambda _warm: echo.ask("echo", pulls, "spin"),
        })

    def micros(name, key):
        return [sample[key] / 1e3 for sample in samples[name]]

    for name, what, against, limit in (
            (OURS, "pull 64 KiB, wait", "echo, sleeping", 2),
            (OURS, "pull 64 KiB, wait", "echo, sleeping, two cores", None),
            (OURS, "pull 64 KiB, wait", "echo, polling", None),
            ("pull, polling", "pull 64 KiB, polling", "echo, polling", 3)):
        for key in ("p50", "p99"):
            aim = ("ratio", "<=", limit) if key == "p50" and limit is not None else None
            bench.row("latency", "%s, %s" % (what, key), "TCP " + against, "us", micros(name, key + "_ns"),
                      micros(against, key + "_ns"), "lower", aim)


PARTS = {"dram": measure_dram, "posix": measure_posix, "latency": measure_latency}
