# SPDX-License-Identifier: Apache-2.0
"""What the demonstration plays: processes that compute and restore, and what happens to the agent and its store in
between. Each scenario says in a sentence or two what happened, and whether that is what should."""

import dataclasses
import json
import pathlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

from demo_agent import Agent, slices
from demo_show import Screen, now

HERE = pathlib.Path(__file__).resolve().parent
WORKER_SECONDS = 900
TICK_SECONDS = 0.2


class Unusable(Exception):
    """Something that the demonstration needs is not there; one sentence."""


class Failed(Exception):
    """A process of the demonstration failed; one sentence."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the second process found, what happened in words, whether it is as it should be, and how the agent's
    counters changed meanwhile."""

    restored: dict[str, Any]
    text: str
    expected: bool
    counters: dict[str, int]


class Stage:
    """Starts the processes of the demonstration and listens to them. One thread."""

    def __init__(self, agent: Agent, screen: Screen, folder: pathlib.Path, environment: dict[str, str], route: str,
                 options: Any) -> None:
        self.agent = agent
        self.screen = screen
        self.folder = folder
        self.environment = environment
        self.route = route
        self.options = options
        self.ready: dict[str, Any] = {}
        self._count = 0

    def prefill(self, lengths: list[int], runs: int) -> dict[int, dict[str, Any]]:
        """Computes and stores prompts of these lengths in a new process: results by length."""
        return {result["length"]: result for result in self._work("prefill", lengths, runs, False)}

    def restore(self, lengths: list[int], runs: int = 1, store_again: bool = False) -> list[dict[str, Any]]:
        """Restores them in a new process and goes on."""
        return self._work("restore", lengths, runs, store_again)

    def _work(self, task: str, lengths: list[int], runs: int, store_again: bool) -> list[dict[str, Any]]:
        self._count += 1
        name = "%d-%s" % (self._count, task)
        options = self.options
        job = {"task": task, "model_cache": str(options.cache_dir.resolve()), "route": self.route,
               "address": self.agent.address, "chunk_tokens": options.chunk,
               "config": str(self.folder / "lmcache.yaml"), "document": str(options.document.resolve()),
               "question": options.question, "answer": options.answer, "lengths": lengths,
               "generate": options.generate, "result": str(self.folder / "logits"), "runs": runs,
               "own_documents": bool(options.lengths),
               "store_again": store_again}
        job_file = self.folder / (name + ".json")
        job_file.write_text(json.dumps(job, indent=1), encoding="utf-8")
        log_file = self.folder / (name + ".log")
        self.screen.stage("starting a process")
        with open(log_file, "wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "demo_worker.py"), str(job_file)], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                results = self._listen(process)
                status = process.wait(WORKER_SECONDS)
            except subprocess.TimeoutExpired:
                raise Failed("the process %s does not end; see %s" % (name, log_file)) from None
            finally:
                process.kill()
                process.wait()
        if status or len(results) != len(lengths):
            raise Failed("the process %s ended with status %d; it said:\n%s" % (
                name, status, "\n".join(log_file.read_text(errors="replace").splitlines()[-20:])))
        return results

    def _listen(self, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
        """What the process says, to its end: its results."""
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert process.stdout is not None
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        results = []
        deadline = now() + WORKER_SECONDS
        while now() < deadline:
            try:
                line = lines.get(timeout=TICK_SECONDS)
            except queue.Empty:
                self.screen.tick()
                continue
            if line is None:
                return results
            event = json.loads(line)
            kind = event.pop("event")
            if kind == "stage":
                self.screen.stage(event["text"])
            elif kind == "progress":
                self.screen.progress(event["text"], event["done"], event["total"])
            elif kind == "ready":
                self.ready = event
            elif kind == "result":
                results.append(event)
            elif kind == "error":
                raise Failed(event["text"])
        raise Failed("a process took more than %d s" % WORKER_SECONDS)


def _read(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


# ---- the scenarios ---------------------------------------------------------------------------------


def changed(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """Counters by what they gained; gauges as they are."""
    return {name: value - before.get(name, 0) if name.endswith("_total") else value for name, value in after.items()}


def same(restored: dict[str, Any], first: dict[str, Any]) -> bool:
    return bool(restored["identical"]) and restored["generated"] == first["generated"]


def recomputed(restored: dict[str, Any]) -> str:
    missing = restored["cached"] - restored["used"]
    return "%d of %d tokens were computed again, in whole blocks of the prefill" % (missing, restored["cached"])


def play_plain(stage: Stage, first: dict[str, Any]) -> Outcome:
    before = stage.agent.stats()
    restored = stage.restore([first["length"]])[0]
    whole = restored["restored"] == restored["cached"]
    return Outcome(restored, "A new process took up where the first one ended.", whole,
                   changed(stage.agent.stats(), before))


def play_restart(stage: Stage, first: dict[str, Any]) -> Outcome:
    stage.agent.stop()
    stage.agent.start()
    kept = stage.agent.stats()["posix_objects"]
    restored = stage.restore([first["length"]])[0]
    whole = restored["restored"] == restored["cached"]
    return Outcome(restored, "The agent was stopped and started again. It found %d objects in its store, and a new "
                   "process restored them." % kept, whole, stage.agent.stats())


def play_flipped(stage: Stage, first: dict[str, Any]) -> Outcome:
    name, offset = stage.agent.flip_a_bit()
    before = stage.agent.stats()
    restored = stage.restore([first["length"]], store_again=True)[0]
    counters = changed(stage.agent.stats(), before)
    found = counters["posix_checksum_errors_total"]
    return Outcome(restored, "One bit of %s was flipped, at byte %d. The agent found %d wrong checksum and dropped the "
                   "object: %s, and stored again." % (name, offset, found, recomputed(restored)),
                   found == 1 and restored["used"] < restored["cached"], counters)


def play_killed(stage: Stage, first: dict[str, Any]) -> Outcome:
    stage.agent.stop()
    chunks = first["cached"] // stage.options.chunk
    middle = chunks * slices(stage.options.chunk * stage.ready["token_bytes"]) // 2
    stage.agent.start(die_at_slice=middle)
    restored = stage.restore([first["length"]])[0]
    died = stage.agent.wait_killed()
    stage.agent.kill()
    stage.agent.start()
    counters = stage.agent.stats()
    kept = counters["posix_objects"]
    return Outcome(restored, "The agent was killed in the middle of the restore, by SIGKILL inside of a copy: %s. "
                   "Started again, it still has all %d objects." % (recomputed(restored), kept),
                   died and restored["used"] < restored["cached"] and kept >= chunks, counters)


@dataclasses.dataclass(frozen=True)
class Scenario:
    title: str
    help: str
    files: bool  # needs a store that survives the agent
    play: Callable[[Stage, dict[str, Any]], Outcome]


SCENARIOS = {
    "plain": Scenario("A new process restores", "a new process restores", False, play_plain),
    "restart": Scenario("The agent is restarted in between", "after a restart of the agent", True, play_restart),
    "flipped": Scenario("A bit of the store is flipped", "with a flipped bit in the store", True, play_flipped),
    "killed": Scenario("The agent is killed in the middle", "with the agent killed during the restore", True,
                       play_killed),
}
