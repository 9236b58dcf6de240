# SPDX-License-Identifier: Apache-2.0
"""Many of something: objects in the index, and clients that do nothing."""

import contextlib
import os
import re
import shutil
import time

from parts import KIB, MIB, OURS, alternate
from programs import Failure

OBJECT = 64             # bytes: what stays of an object beside its pages
PAGE = 4 * KIB          # of the smallest file
POOL_EACH = 8 * KIB     # what an object takes of the pool at least: its own page, and one for a record's header
BATCH = 4096            # objects of a request
POOL_SHARE = 0.85       # of the pool that objects may take, with room to spare
INDEX_AIM = 1_000_000   # objects that the aim is about
CHECK_STRIDE = 101
GROUP = 4               # objects of a group
POSIX_POOL_MIB = 256
BUSY, IDLE = 4, 256
WITHOUT, WITH = "no idle clients", "idle clients"


# --- objects ------------------------------------------------------------------------------------
def resident_mib(pid):
    """Memory of a process, on pages of any size."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        found = dict(re.findall(r"^(VmRSS|HugetlbPages):\s+(\d+) kB", file.read(), re.MULTILINE))
    return sum(int(value) for value in found.values()) / 1024


def fill_index(bench, agent, objects, size, members):
    """members: objects of a group; 0: no groups. How many MiB the agent grew by. Its clients have ordinary memory, which no agent maps."""
    small = "ring=%d" % (64 * MIB)
    address = "addr=" + agent.address
    seed = next(bench.seeds)
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(bench.program("push_pull", address, "memory=malloc", small))
        checker = stack.enter_context(bench.checker(agent))
        before = resident_mib(agent.pid)
        begin = time.monotonic()
        ours.ask("push", BATCH, size, objects // BATCH, 1, seed, members)
        took = time.monotonic() - begin
        checker.ask("check", "bench/%d/" % seed, size, objects, CHECK_STRIDE, seed)
        return before, resident_mib(agent.pid), took


def measure_index_of(bench, backend, objects, members):
    size = OBJECT if backend == "dram" else PAGE
    pool = int(objects * POOL_EACH / POOL_SHARE) // MIB + 64 if backend == "dram" else POSIX_POOL_MIB
    store = os.path.join(bench.scratch, "index")
    options = () if backend == "dram" else ("--root", store, "--capacity", "%dM" % (objects * 4 * PAGE // MIB))
    if backend == "posix":
        os.mkdir(store)
    try:
        with bench.agent(backend, pool, *options) as agent:
            before, after, took = fill_index(bench, agent, objects, size, members)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    aim = ("value", "<=", 200) if objects >= INDEX_AIM else None
    what = "%d objects" % objects + (" in groups of %d" % members if members else "")
    bench.row("index", "memory beyond the pool, %s, %s" % (backend, what), "before the first object",
              "MiB", [after - pool], [max(before - pool, 1)], "lower", aim,
              note="%.0f bytes more for an object; pushing them took %.1f s"
              % ((after - before) * MIB / objects, took))


def measure_index(bench):
    """memory of the agent beyond its pool with a million objects (--objects) in the index of dram, and with
    --index-posix of posix, which makes that many files; without groups and in groups"""
    objects = bench.settings.objects // BATCH * BATCH
    if objects < bench.settings.objects:
        objects += BATCH
    for backend in ("dram", "posix"):
        if backend == "posix" and not bench.settings.index_posix:
            bench.skip("index", "posix", "--index-posix was not given; it makes a file for each object")
            continue
        try:
            for members in (0, GROUP):
                measure_index_of(bench, backend, objects, members)
        except Failure as failure:
            if backend == "dram":
                raise
            bench.skip("index", backend, failure)


# --- clients ------------------------------------------------------------------------------------
def measure_idle(bench):
    """processor time of the agent for a request of 4 busy clients, with 256 idle clients beside them and without"""
    pulls = bench.settings.pulls
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("dram", bench.staging_mib()))
        crowd = stack.enter_context(bench.program("crowd", "addr=" + agent.address, "agent=%d" % agent.pid,
                                                  "busy=%d" % BUSY))

        def busy_beside(count):
            def run(_warm):
                crowd.ask("idle", count)
                return crowd.ask("busy", pulls)

            return run

        # The one that nothing can be reported without has this name.
        samples = alternate(bench, "idle", {OURS: busy_beside(IDLE), WITHOUT: busy_beside(0)})

    def micros(name):
        return [sample["agent_cpu_ns"] / 1e3 / sample["requests"] for sample in samples[name]]

    bench.row("idle", "agent's processor time, %d busy and %d idle clients" % (BUSY, IDLE), WITHOUT, "us/request",
              micros(OURS), micros(WITHOUT), "lower", ("ratio", "<=", 1.05))
