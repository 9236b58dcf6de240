# SPDX-License-Identifier: Apache-2.0
"""One pull at a time, alone and beside a client that pushes all it can."""

import contextlib

from parts import KIB, MIB, OURS, alternate

BLOCK = 64 * KIB     # of one pull
ECHO_BYTES = 64
LOAD_WINDOW = 16     # pushes in flight, a request each, of the client beside it
BESIDE = "pull beside pushes"
LIMITS = ((OURS, "pull 64 KiB, wait", "echo, sleeping", 2), (OURS, "pull 64 KiB, wait", "echo, sleeping, two cores", None),
          (OURS, "pull 64 KiB, wait", "echo, polling", None), ("pull, polling", "pull 64 KiB, polling", "echo, polling", 3))


def beside_load(ours, load, command):
    """The pulls while another client pushes objects of 1 MiB flat out."""

    def run(_warm):
        load.tell("load", MIB, LOAD_WINDOW)
        try:
            sample = ours.ask(*command)
        finally:
            pushed = load.ask("stop")
        return {**sample, **pushed}

    return run


def latency_parties(bench, stack, agent, ours):
    pulls, seed = bench.settings.pulls, next(bench.seeds)
    load = stack.enter_context(bench.client(agent, "shared"))
    echo = stack.enter_context(bench.program("tcp_echo", "bytes=%d" % ECHO_BYTES))
    apart = stack.enter_context(bench.program("tcp_echo", "bytes=%d" % ECHO_BYTES, "apart=1"))
    return seed, {
        OURS: lambda _warm: ours.ask("latency", pulls, BLOCK, "wait", seed),
        "echo, sleeping": lambda _warm: echo.ask("echo", pulls, "wait"),
        "echo, sleeping, two cores": lambda _warm: apart.ask("echo", pulls, "wait"),
        "pull, polling": lambda _warm: ours.ask("latency", pulls, BLOCK, "spin", seed),
        "echo, polling": lambda _warm: echo.ask("echo", pulls, "spin"),
        BESIDE: beside_load(ours, load, ("latency", pulls, BLOCK, "wait", seed)),
    }


def measure_latency(bench):
    """p50 and p99 of one pull of 64 KiB from dram, asleep and polling, against a TCP echo; p99 of the same beside a
    client that pushes 1 MiB objects flat out, against its p50 alone"""
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("dram", 2 * bench.staging_mib()))
        ours = stack.enter_context(bench.client(agent, "shared"))
        checker = stack.enter_context(bench.checker(agent))
        seed, parties = latency_parties(bench, stack, agent, ours)
        samples = alternate(bench, "latency", parties)
        objects = samples[OURS][0]["objects"]
        checker.ask("check", "latency/%d/" % seed, BLOCK, objects, 1, seed)

    def micros(name, key):
        return [sample[key] / 1e3 for sample in samples[name]]

    for name, what, against, limit in LIMITS:
        for key in ("p50", "p99"):
            if name not in samples or against not in samples:
                continue
            aim = ("ratio", "<=", limit) if key == "p50" and limit is not None else None
            bench.row("latency", "%s, %s" % (what, key), "TCP " + against, "us", micros(name, key + "_ns"),
                      micros(against, key + "_ns"), "lower", aim)
    if BESIDE in samples:
        for key, aim in (("p50", None), ("p99", ("ratio", "<=", 10))):
            bench.row("latency", "pull 64 KiB beside pushes of 1 MiB, %s" % key, "its p50 alone", "us",
                      micros(BESIDE, key + "_ns"), micros(OURS, "p50_ns"), "lower", aim)
