# SPDX-License-Identifier: Apache-2.0
"""One request at a time to `dram`, beside the DMA engine alone, the raw copy and memcached. The parts `dram` (memory
that any user has) and `huge` (reserved huge pages, and memcached beside them)."""

import contextlib

import hugepages
import memcached
from parts import CHUNK, KIB, KINDS, MIB, OURS, alternate, cpu_ms_per_gib, gigabytes, own_party
from programs import Failure

SHAPES = ((64, MIB, "64 x 1 MiB"), (1024, 64 * KIB, "1024 x 64 KiB"))
LOOP = "bare loop on doca-emu"
RAW = "raw copy, "
ROUTINES = {"shared": (("the emulation's", "emulation"), ("memcpy", "memcpy")), "malloc": (("process_vm", "system"),)}
ROUTINES["huge"] = ROUTINES["shared"]
SAME_ROUTINE = {"shared": "the emulation's", "huge": "the emulation's", "malloc": "process_vm"}
PEER = "memcached over a Unix socket"


def parties_of(bench, shape, programs):
    count, size, _ = shape
    requests = bench.settings.ring // (count * size)
    loop, raw = programs["loop"], programs["raw"]

    def copy(routine):
        return lambda _warm: raw.ask("round", count, size, requests, next(bench.seeds), routine)

    parties = {OURS: own_party(bench, programs["ours"], programs["checker"], (count, size, requests, 1)),
               LOOP: lambda _warm: loop.ask("round", count, size, requests, next(bench.seeds))}
    for name, routine in ROUTINES[programs["kind"]]:
        parties[RAW + name] = copy(routine)
    if programs.get("memcached") is not None and count == 64:
        parties[PEER] = memcached.party(bench, programs["memcached"], (count, size, requests))
    return parties


def rows_of(bench, part, shape, kind, samples):
    count, _, shape_name = shape
    aims = {LOOP: ("ratio", ">=", 0.90 if count == 64 else 0.75), PEER: ("ratio", ">=", 2.0)}
    for op in ("push", "pull"):
        what = "%s %s, %s" % (op, shape_name, KINDS[kind])
        for name in samples:
            if name != OURS:
                bench.row(part, what, name, "GB/s", gigabytes(samples[OURS], op), gigabytes(samples[name], op),
                          "higher", aims.get(name))


def emulation_rows(bench, shape, kind, samples):
    """The emulation's engine beside the routine that it copies with. Only for what is as large as its aim says."""
    count, _, shape_name = shape
    peer = RAW + SAME_ROUTINE[kind]
    if count != 64 or LOOP not in samples or peer not in samples:
        return
    for op, way in (("push", "from the host"), ("pull", "to the host")):
        bench.row("emulation", "copy %s, %s, %s" % (way, shape_name, KINDS[kind]), peer, "GB/s",
                  gigabytes(samples[LOOP], op), gigabytes(samples[peer], op), "higher", ("ratio", ">=", 0.85),
                  subject=LOOP)


def cpu_rows(bench, shape, kind, samples):
    """Processor time beside that of a host thread that copies the bytes itself."""
    count, _, shape_name = shape
    copier = next((name for name in (RAW + "memcpy", RAW + "process_vm") if name in samples), None)
    if copier is None:
        return
    for op in ("push", "pull"):
        what = "%s %s, %s" % (op, shape_name, KINDS[kind])
        theirs = cpu_ms_per_gib(samples[copier], op)
        bench.row("cpu", "host, " + what, copier, "ms/GiB", cpu_ms_per_gib(samples[OURS], op), theirs, "lower",
                  ("value", "<=", 5) if count == 64 else None)
        bench.row("cpu", "agent, " + what, copier, "ms/GiB",
                  cpu_ms_per_gib(samples[OURS], op, "_agent_cpu_ns"), theirs, "lower")


def measure_kind(bench, part, kind, shapes, with_memcached=False):
    """One request in flight; the memory is a ring through which requests go."""
    ring, memory = "ring=%d" % bench.settings.ring, "memory=" + kind
    results = []
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("dram", bench.staging_mib()))
        programs = {
            "kind": kind,
            "loop": stack.enter_context(bench.program("emu_loop", memory, ring, "chunk=%d" % CHUNK,
                                                      "depth=%d" % bench.settings.depth)),
            "raw": stack.enter_context(bench.program("raw_copy", memory, ring, "chunk=%d" % CHUNK)),
            "ours": stack.enter_context(bench.client(agent, kind)),
            "checker": stack.enter_context(bench.checker(agent)),
        }
        pools = {"the agent": agent.pages, "the bare loop": programs["loop"].ready["pool"],
                 "the raw copy": programs["raw"].ready["pool"]}
        if len(set(pools.values())) > 1:
            bench.warnings.append("unequal pages, %s: %s" % (KINDS[kind], ", ".join("%s has %s" % pool
                                                                                      for pool in pools.items())))
        if with_memcached:
            programs["memcached"] = memcached.start(bench, stack, part, kind)
        for shape in shapes:
            results.append((shape, alternate(bench, part, parties_of(bench, shape, programs))))
    for shape, samples in results:
        rows_of(bench, part, shape, kind, samples)
    for shape, samples in results:
        emulation_rows(bench, shape, kind, samples)
    for shape, samples in results:
        cpu_rows(bench, shape, kind, samples)


def measure_dram(bench):
    """push and pull of 64 x 1 MiB and 1024 x 64 KiB in one request on dram, shareable and malloc'd memory: against the
    bare loop on doca-emu, the emulation's copy routine, memcpy and process_vm; processor time of host and agent; the
    emulation's engine against the routine that it copies with"""
    for kind in ("shared", "malloc"):
        measure_kind(bench, "dram", kind, SHAPES)


def measure_huge(bench):
    """the same on reserved huge pages (as root it reserves them meanwhile), and 64 x 1 MiB against memcached over a
    Unix socket"""
    rings = 5 + bench.staging_mib() * MIB // bench.settings.ring  # two of the bare loop, two of the raw copy, ours
    wanted = (rings + 2) * bench.settings.ring + 32 * MIB         # and those of memcached's client and its checker
    try:
        with hugepages.reserved(wanted):
            measure_kind(bench, "huge", "huge", SHAPES, with_memcached=True)
    except hugepages.Unavailable as reason:
        bench.skip("huge", "all of it", reason)
    except Failure as failure:
        if "huge pages are reserved" not in str(failure):
            raise
        bench.skip("huge", "all of it", failure)  # somebody else took them first
