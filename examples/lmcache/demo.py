#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A language model reads a long text once; a new process goes on where the first one ended.

The first process computes keys and values of a document and stores them: LMCache, chunk by chunk, through NIXL and
its plugin DOCA_DMA_PROXY (or through BlueCache's own storage plugin), to the agent and its store. A second process
restores them the same way, goes on generating, and compares every logit with those of the first."""

import argparse
import json
import pathlib
import shutil
import signal
import sys
import tempfile
from typing import Any

import demo_routes
from demo_agent import Agent, AgentError
from demo_report import Report
from demo_scenarios import SCENARIOS, Failed, Stage, Unusable
from demo_show import Screen

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
QUESTION = "What does the lighthouse keeper write?"
ANSWER = "Every evening the keeper of the lighthouse"

EXIT_DIFFERENT = 1
EXIT_USAGE = 2
EXIT_UNUSABLE = 3


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 every text and every logit is the same, 1 not, 2 usage, 3 something is not installed.")
    parser.add_argument("--route", choices=["patch", "plugin"],
                        help="how LMCache reaches the agent: through NIXL, with the patch for LMCache 0.4.3, or "
                        "through BlueCache's storage plugin (default: patch where it fits the installed LMCache)")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), metavar="NAME",
                        help="; ".join("%s: %s" % (name, scenario.help) for name, scenario in SCENARIOS.items())
                        + " (default: plain; repeatable)")
    parser.add_argument("--all", action="store_true", help="all scenarios, one after the other")
    parser.add_argument("--tokens", type=int, default=2048, help="length of the document (default: %(default)s)")
    parser.add_argument("--chunk", type=int, default=256, help="tokens of a chunk (default: %(default)s)")
    parser.add_argument("--generate", type=int, default=32, help="tokens to generate (default: %(default)s)")
    parser.add_argument("--backend", choices=["posix", "dram"], default="posix",
                        help="where the agent keeps objects (default: %(default)s)")
    parser.add_argument("--document", type=pathlib.Path, default=HERE / "document.txt", help="another text to read")
    parser.add_argument("--question", default=QUESTION, help="what is asked about it")
    parser.add_argument("--answer", help="the words that the answer begins with")
    parser.add_argument("--lengths", type=lengths, help="measure prefill and restore for these lengths: 256,512,1024")
    parser.add_argument("--runs", type=int, default=5, help="with --lengths: runs of each (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write what was measured to a file")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release",
                        help="where agent and plugin were built (default: build/release)")
    parser.add_argument("--cache-dir", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "bluecache",
                        help="for the converted model and the patched LMCache (default: ~/.cache/bluecache)")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR",
                        help="a new folder for store, logs and configuration, which stays")
    options = parser.parse_args(arguments)
    if options.answer is None:
        options.answer = ANSWER if options.question == QUESTION else ""
    if options.chunk < 1 or options.generate < 1 or options.runs < 1:
        parser.error("--chunk, --generate and --runs are at least 1")
    if min(options.lengths or [options.tokens]) < options.chunk:
        parser.error("a document has at least one chunk")
    if options.lengths and (options.scenario or options.all):
        parser.error("--lengths is a measurement of its own, without scenarios")
    options.scenario = list(SCENARIOS) if options.all else options.scenario or ["plain"]
    wants_files = [name for name in options.scenario if SCENARIOS[name].files]
    if options.backend != "posix" and wants_files:
        parser.error("the scenario %s is for --backend posix" % wants_files[0])
    return options


def lengths(text: str) -> list[int]:
    return sorted({int(word) for word in text.split(",")})


def check(options: argparse.Namespace) -> None:
    """Unusable, with a sentence, when something is not there."""
    for path in ("dpu-agent/dpu_dma_copy", "nixl-plugin/libplugin_DOCA_DMA_PROXY.so", "tools/bluecache",
                 "host/libbluecache.so"):
        if not (options.build / path).exists():
            raise Unusable("%s is not built: cmake --preset release && cmake --build --preset release" %
                           (options.build / path))
    if not options.document.is_file():
        raise Unusable("there is no %s" % options.document)


def measure(stage: Stage, options: argparse.Namespace, report: Report) -> bool:
    """--lengths: prefill of all in one process, restore of each in a new one."""
    done = stage.prefill(options.lengths, options.runs)
    same = True
    for length in options.lengths:
        restored = stage.restore([length], runs=options.runs)[0]
        same = report.length(stage.ready, done[length], restored) and same
    return same


def play(stage: Stage, options: argparse.Namespace, report: Report) -> bool:
    """The scenarios, after one prefill: whether all went as they should."""
    first = stage.prefill([options.tokens], 1)[options.tokens]
    report.first(stage.ready, first)
    same = True
    for name in options.scenario:
        stage.screen.heading(SCENARIOS[name].title)
        outcome = SCENARIOS[name].play(stage, first)
        same = report.outcome(name, first, outcome) and same
    return same


def run(options: argparse.Namespace, folder: pathlib.Path) -> int:
    route = demo_routes.choose(options.route)
    check(options)
    screen = Screen()
    report = Report(screen, route)
    agent = Agent(options.build.resolve(), folder, options.backend)
    try:
        screen.stage("preparing LMCache")
        environment = demo_routes.environment(route, agent.build, options.cache_dir.resolve(), agent.world)
        stage = Stage(agent, screen, folder, environment, route, options)
        agent.start()
        report.begin(agent, options)
        same = (measure if options.lengths else play)(stage, options, report)
        if agent.running:
            agent.stop()
    finally:
        screen.clear()
        agent.kill()
    if options.json:
        options.json.write_text(json.dumps(report.data, indent=1) + "\n", encoding="utf-8")
    return 0 if same else EXIT_DIFFERENT


def end(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, end)
    if options.keep:
        options.keep.mkdir(parents=True)
        folder = options.keep.resolve()
    else:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="bluecache-demo."))
    try:
        return run(options, folder)
    except (Unusable, demo_routes.RouteError) as error:
        print("demo: %s" % error, file=sys.stderr)
        return EXIT_UNUSABLE
    except (AgentError, Failed) as error:
        print("demo: %s" % error, file=sys.stderr)
        return EXIT_DIFFERENT
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
