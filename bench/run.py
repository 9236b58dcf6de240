#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures BlueCache beside what limits it on this machine, and prints the ratios: docs/benchmarks.md explains
every row. Exit status: 0 measured, 1 something of BlueCache's failed, 2 usage."""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

import machine
import parts
import report
from part_comch import measure_comch
from part_dram import measure_dram, measure_huge
from part_latency import measure_latency
from part_lmcache import PARTS as LMCACHE_PARTS
from part_lmcache import measure_lmcache
from part_posix import BATCH, WINDOW, measure_posix
from part_scale import measure_idle, measure_index
from part_sizes import SIZES, measure_sizes
from programs import Failure

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
FORMAT = 1
RING_MIN = 64 << 20  # one request of the largest shape
MEMORY_FACTOR = 12   # rings that are in memory at the same time, and a little
PARTS = {"dram": measure_dram, "huge": measure_huge, "posix": measure_posix, "latency": measure_latency,
         "comch": measure_comch,
         "idle": measure_idle, "index": measure_index, "sizes": measure_sizes, "lmcache": measure_lmcache}
ON_REQUEST = ("lmcache",)  # of its own time and environments: docs/lmcache-benchmarks.md
ORDER = ("dram", "huge", "emulation", "posix", "latency", "comch", "idle", "index", "cpu", *LMCACHE_PARTS)  # of the rows


def size(text):
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not found:
        raise argparse.ArgumentTypeError("%s: a number, with K, M or G behind it if need be" % text)
    return int(found.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30}[found.group(2)]


def sizes(text):
    found = tuple(size(word) for word in text.split(","))
    if min(found) < 8 or max(found) > SIZES[-1] or any(one % 8 for one in found):
        raise argparse.ArgumentTypeError("%s: sizes are multiples of 8 up to 16M" % text)
    return found


def counts(text):
    found = tuple(int(word) if word.isdigit() else -1 for word in text.split(","))
    if len(found) != 2 or min(found) < 0 or max(found) == 0:
        raise argparse.ArgumentTypeError("%s: two numbers, of objects of 4 MiB and of 256 KiB" % text)
    return found


def add_lmcache_options(parser):
    group = parser.add_argument_group("the lmcache part")
    group.add_argument("--venvs", metavar="DIR", default=os.path.join(ROOT, "build"),
                       help="where venv-lmcache-0.4.3 and venv-lmcache-0.5.6 are (default: build)")
    group.add_argument("--kv-objects", type=counts, metavar="N,N",
                       help="objects of 4 MiB and of 256 KiB (default: 256,1024, quick: 32,256); 0: none of that size")
    group.add_argument("--kv-place", dest="kv_places", action="append", choices=("disk", "memory"),
                       help="may be repeated (default: both)")
    group.add_argument("--kv-party", dest="kv_parties", action="append", metavar="NAME",
                       help="only this one beside our plugin; may be repeated (default: all)")


def parse_options(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description="Measures BlueCache beside what limits it on this machine. Prints ratios.")
    parser.add_argument("--quick", action="store_true", help="about 2 minutes: fewer pairs, less data")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), metavar="PART",
                        help="%s; may be repeated (default: all but %s)" % (", ".join(PARTS), ", ".join(ON_REQUEST)))
    parser.add_argument("--list", action="store_true", help="say what each part measures, and stop")
    parser.add_argument("--rounds", action="store_true",
                        help="also minimum, median and maximum of the rounds of every row")
    parser.add_argument("--json", metavar="FILE", help="write the result there as well")
    parser.add_argument("--build", metavar="DIR", default=os.path.join(ROOT, "build", "release"),
                        help="build directory, preset release (default: build/release)")
    parser.add_argument("--root", metavar="DIR",
                        help="where files of the posix part are made, and removed (default: the build directory)")
    parser.add_argument("--python", metavar="FILE", default=os.path.join(ROOT, "build/venv-nixl-latest/bin/python"),
                        help="Python that has the nixl wheel (default: build/venv-nixl-latest/bin/python)")
    parser.add_argument("--pairs", type=int, metavar="N", help="turns of each (default: 7, quick: 5)")
    parser.add_argument("--ring", type=size, default="512M", metavar="SIZE",
                        help="memory through which the requests go (default: 512M)")
    parser.add_argument("--bytes", type=size, metavar="SIZE", help="of the posix part (default: 4G, quick: 1G)")
    parser.add_argument("--pulls", type=int, metavar="N",
                        help="pulls of each turn of the parts latency and idle (default: 4000, quick: 1000)")
    parser.add_argument("--sizes", type=sizes, metavar="SIZE,...", default=SIZES,
                        help="sizes of objects of the sizes part (default: 4K to 16M in steps of 4)")
    parser.add_argument("--objects", type=int, metavar="N",
                        help="objects of the index part (default: 1000000, quick: 100000)")
    parser.add_argument("--index-posix", action="store_true", help="the index part also with posix")
    parser.add_argument("--depth", type=int, default=8, metavar="N",
                        help="DMA tasks in flight, of the agent and the bare loop; and fio's (default: 8)")
    parser.add_argument("--nixl-queue", default="default", choices=("default", "aio", "uring", "posixaio"),
                        help="queue of NIXL's plugin POSIX (default: the one that it takes by itself)")
    parser.add_argument("--keep-logs", metavar="DIR", help="copy the logs of agent and programs there")
    add_lmcache_options(parser)
    options = parser.parse_args(arguments)
    if options.list:
        return options
    options.only = options.only or [name for name in PARTS if name not in ON_REQUEST]
    options.kv_objects = options.kv_objects or ((32, 256) if options.quick else (256, 1024))
    options.kv_places = options.kv_places or ["disk", "memory"]
    options.pairs = options.pairs or (5 if options.quick else 7)
    options.bytes = options.bytes or (1 << 30 if options.quick else 4 << 30)
    options.pulls = options.pulls or (1000 if options.quick else 4000)
    options.objects = options.objects or (100_000 if options.quick else 1_000_000)
    options.root = os.path.abspath(options.root or options.build)
    check_options(parser, options)
    return options


def check_options(parser, options):
    if options.ring < RING_MIN or options.ring % RING_MIN:
        parser.error("--ring must be a multiple of 64M")
    if "posix" in options.only:
        step = BATCH << 20
        if options.bytes % step:
            parser.error("--bytes must be a multiple of 64M")
        if options.ring < step * WINDOW:
            parser.error("--ring must be 128M or more for the posix part")
        if os.path.isdir(options.root) and shutil.disk_usage(options.root).free < 3 * options.bytes:
            parser.error("--root: %s has less than three times --bytes free" % options.root)
    if min(options.pairs, options.pulls, options.depth, options.objects) < 1:
        parser.error("--pairs, --pulls, --depth and --objects must be at least 1")
    if not os.path.isdir(options.root):
        parser.error("--root: %s is not a directory" % options.root)
    for name in ("dpu-agent/dpu_dma_copy", "bench/push_pull", "bench/emu_loop"):
        if not os.access(os.path.join(options.build, name), os.X_OK):
            parser.error("%s/%s is not built (it takes the emulation of DOCA): cmake --preset release && cmake --build "
                         "--preset release" % (options.build, name))
    if machine.memory_available() < MEMORY_FACTOR * options.ring:
        parser.error("less than %d MiB of memory are free: choose a smaller --ring"
                     % (MEMORY_FACTOR * options.ring >> 20))


def measure(bench, names):
    """Returns what failed."""
    failures = []
    for name in names:
        begin = time.monotonic()
        print("measuring %s ..." % name, file=sys.stderr, flush=True)
        try:
            PARTS[name](bench)
        except Failure as failure:
            failures.append("%s: %s" % (name, failure))
        print("measuring %s: %.0f s" % (name, time.monotonic() - begin), file=sys.stderr, flush=True)
    bench.rows.sort(key=lambda row: ORDER.index(row["part"]))
    return failures


def print_list():
    for name, measure_part in PARTS.items():
        print("%-8s %s" % (name, " ".join(measure_part.__doc__.split())))


def print_result(result, with_rounds):
    for line in report.machine_lines(result["machine"]):
        print(line)
    print("")
    for line in report.table(result["rows"]):
        print(line)
    print("")
    if with_rounds:
        print("\n".join(report.rounds(result["rows"])) + "\n")
    for line in report.notes(result["rows"]):
        print(line)
    for entry in result["skipped"]:
        print("left out: %s, %s: %s" % (entry["part"], entry["what"], entry["reason"]))
    for text in result["failures"]:
        print("failed: %s" % text)
    for text in result["warnings"]:
        print("warning: %s" % text)
    print(report.summary(result["rows"]))
    print(result["note"])


def main(arguments=None):
    options = parse_options(arguments)
    if options.list:
        print_list()
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made, started and reserved is given back
    known = machine.facts(options.root)
    warnings = machine.start_warnings(known)
    if options.pairs < report.PAIRS_MIN:
        warnings.append("fewer than %d pairs: not even the ratios mean much" % report.PAIRS_MIN)
    others = machine.Others(known["cores"])
    scratch = tempfile.mkdtemp(prefix="bench-", dir=options.root)
    try:
        bench = parts.Bench(options, scratch)
        failures = measure(bench, [name for name in PARTS if name in options.only])
        if options.keep_logs:
            os.makedirs(options.keep_logs, exist_ok=True)
            for name in os.listdir(scratch):
                if name.endswith(".log"):
                    shutil.copy(os.path.join(scratch, name), options.keep_logs)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    share = others.share()
    known["others_share"] = round(share, 3)
    result = {
        "format": FORMAT,
        "note": report.NOTE,
        "machine": known,
        "settings": {name: getattr(options, name) for name in
                     ("quick", "only", "pairs", "ring", "bytes", "pulls", "objects", "depth", "nixl_queue",
                      "kv_objects")},
        "rows": bench.rows,
        "skipped": bench.skipped,
        "failures": failures,
        "series": bench.series,
        "warnings": warnings + bench.warnings + machine.end_warnings(share),
    }
    print_result(result, options.rounds)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
