# SPDX-License-Identifier: Apache-2.0
"""Control messages over Comch: an empty question against a bare message and its answer, and whole requests against
the same over TCP."""

import contextlib

from parts import CHUNK, MIB, OURS, alternate, gigabytes, own_party

SHAPE = (64, MIB)        # objects of a request
ECHO_BYTES = 64          # of the bare message; an empty question has a header of about that length
BARE = "bare Comch"
TCP = "BlueCache over TCP"


def measure_comch(bench):
    """an empty question over Comch against a message and its answer on the emulation's Comch alone (p50, both poll);
    push and pull of 64 x 1 MiB in one request over Comch against TCP"""
    count, size = SHAPE
    requests = bench.settings.ring // (count * CHUNK)
    pulls = bench.settings.pulls
    with contextlib.ExitStack() as stack:
        agents = {name: stack.enter_context(bench.agent("dram", bench.staging_mib(), mode=mode))
                  for name, mode in ((OURS, "comch"), (TCP, "tcp"))}
        clients = {name: stack.enter_context(bench.client(agent, "shared")) for name, agent in agents.items()}
        checkers = {name: stack.enter_context(bench.checker(agent)) for name, agent in agents.items()}
        bare = stack.enter_context(bench.program("comch_ping", "bytes=%d" % ECHO_BYTES))
        questions = alternate(bench, "comch", {
            OURS: lambda _warm: clients[OURS].ask("ping", pulls),
            TCP: lambda _warm: clients[TCP].ask("ping", pulls),
            BARE: lambda _warm: bare.ask("ping", pulls)})
        rounds = alternate(bench, "comch", {
            name: own_party(bench, clients[name], checkers[name], (count, size, requests, 1)) for name in agents})

    def micros(name):
        return [sample["p50_ns"] / 1e3 for sample in questions[name]]

    for name, aim in ((BARE, ("ratio", "<=", 1.5)), (TCP, None)):
        if name in questions:
            bench.row("comch", "empty question, p50", name, "us", micros(OURS), micros(name), "lower", aim)
    if TCP in rounds:
        for op in ("push", "pull"):
            bench.row("comch", "%s 64 x 1 MiB over Comch" % op, TCP, "GB/s", gigabytes(rounds[OURS], op),
                      gigabytes(rounds[TCP], op), "higher", ("ratio", ">=", 0.95))
