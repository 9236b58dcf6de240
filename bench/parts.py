# SPDX-License-Identifier: Apache-2.0
"""What all parts of a run share: where things are, how parties take turns, and how samples become figures.

Turns: in every pair each party runs once, and the order rotates from pair to pair, so that neither a drift of the
machine nor who comes after whom favours anybody. One turn of each before the first pair counts for nothing."""

import itertools
import os

import report
from programs import Agent, Failure, Program, clean_environment

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
CHUNK = MIB              # the agent's default
STAGING_MIN = 256        # MiB: the agent's default
CHECK_RING = 64 * MIB    # of the process that looks at what others pushed
OURS = "BlueCache"
KINDS = {"shared": "shareable memory", "malloc": "malloc'd memory", "huge": "shareable memory on huge pages"}


class Bench:
    """Where things are, what was asked for, and what came out."""

    def __init__(self, settings, scratch):
        self.settings = settings
        self.scratch = scratch
        self.environment = clean_environment("bench-%d" % os.getpid())
        self.rows = []
        self.skipped = []
        self.series = []
        self.warnings = []
        self.seeds = itertools.count(1)

    def log(self, name):
        return os.path.join(self.scratch, name + ".log")

    def program(self, name, *arguments, **variables):
        path = os.path.join(self.settings.build, "bench", name)
        return Program(name, [path, *arguments], self.log(name), {**self.environment, **variables})

    def agent(self, backend, staging_mib, *options, mode="tcp"):
        return Agent(self.settings.build, backend, staging_mib, self.settings.depth, self.log("agent"),
                     self.environment, options, mode)

    def client(self, agent, kind, *arguments):
        return self.program("push_pull", "addr=" + agent.address, "memory=" + kind, "ring=%d" % self.settings.ring,
                            "agent=%d" % agent.pid, *arguments, BLUECACHE_MODE=agent.mode)

    def checker(self, agent):
        """A process of its own that pulls what another one pushed."""
        return self.program("push_pull", "addr=" + agent.address, "memory=malloc", "ring=%d" % CHECK_RING,
                            BLUECACHE_MODE=agent.mode)

    def skip(self, part, what, reason):
        self.skipped.append({"part": part, "what": what, "reason": str(reason)})

    def row(self, *arguments, **named):
        self.rows.append(report.make_row(*arguments, **named))

    def staging_mib(self):
        """Room for two rings of objects."""
        return max(STAGING_MIN, 2 * self.settings.ring // MIB)


def own_party(bench, ours, checker, shape, remove=False):
    """shape: objects of a request, their size, requests, requests in flight. Every object that was pushed is looked at
    by the checker."""
    count, size, requests, _ = shape

    def run(warm):
        seed = next(bench.seeds)
        sample = ours.ask("round", *shape, seed, int(warm))
        prefix = "bench/%d/" % seed
        checker.ask("check", prefix, size, count * requests, 1, seed)
        if remove:
            ours.ask("remove", prefix, count * requests)
        return sample

    return run


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
