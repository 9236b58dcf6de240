# SPDX-License-Identifier: Apache-2.0
"""Throughput against the size of objects, for the plot: BlueCache on dram, and what else there is."""

import contextlib
import statistics

import machine
import memcached
from part_posix import nixl_files
from parts import CHUNK, KIB, MIB, OURS, alternate, gigabytes, own_party

SIZES = tuple(4 * KIB << 2 * i for i in range(7))  # 4 KiB ... 16 MiB
REQUEST_MAX = 64 * MIB
COUNT_MAX = 1024
ROUND_MAX = 256 * MIB  # 16 requests of small objects are less
FILES_MAX = 1024       # of a round of NIXL's: making small files takes long
MEMCPY, MEMCACHED, NIXL = "memcpy", "memcached", "NIXL POSIX"


def shape_of(bench, size):
    """Objects of a request, their size, requests."""
    count = max(1, min(COUNT_MAX, REQUEST_MAX // size))
    return count, size, max(1, min(16, min(ROUND_MAX, bench.settings.ring) // (count * size)))


def nixl_shape_of(shape):
    count, size, requests = shape
    return count, size, max(1, min(requests, FILES_MAX // count)), 1


def add_series(bench, size, samples):
    for name, some in samples.items():
        for op in ("push", "pull"):
            values = gigabytes(some, op)
            bench.series.append({"name": name, "op": op, "size": size, "unit": "GB/s",
                                 "median": statistics.median(values), "low": min(values), "high": max(values)})


def measure_sizes(bench):
    """throughput of requests with objects of 4 KiB to 16 MiB: BlueCache on dram, memcpy, NIXL's plugin POSIX, memcached;
    bench/plot.py draws it"""
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("dram", bench.staging_mib()))
        ours = stack.enter_context(bench.client(agent, "shared"))
        checker = stack.enter_context(bench.checker(agent))
        raw = stack.enter_context(bench.program("raw_copy", "memory=shared", "ring=%d" % bench.settings.ring,
                                                "chunk=%d" % (16 * CHUNK)))
        nixl = nixl_files(bench, stack, "sizes", machine.device_stat(bench.settings.root))
        for size in bench.settings.sizes:
            shape = shape_of(bench, size)
            with contextlib.ExitStack() as own_stack:
                cached = memcached.start(bench, own_stack, "sizes", "shared", shape)
                parties = {OURS: own_party(bench, ours, checker, (*shape, 1)),
                           MEMCPY: lambda _warm, shape=shape: raw.ask("round", *shape, next(bench.seeds), "memcpy")}
                if cached is not None:
                    parties[MEMCACHED] = memcached.party(bench, cached, shape)
                if nixl is not None:
                    parties[NIXL] = lambda _warm, shape=shape: nixl.ask("round", *nixl_shape_of(shape), next(bench.seeds))
                add_series(bench, size, alternate(bench, "sizes", parties))
