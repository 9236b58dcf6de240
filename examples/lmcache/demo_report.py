# SPDX-License-Identifier: Apache-2.0
"""The demonstration's results, in words and as data."""

import argparse
import os
import platform
import statistics
from typing import Any

from demo_agent import Agent
from demo_scenarios import Outcome, same
from demo_show import Screen, megabytes, seconds


BUSY_SHARE = 0.6


class Report:
    """Shows results as they come, and collects them in `data`."""

    def __init__(self, screen: Screen, route: str) -> None:
        self.screen = screen
        self.route = route
        self.data: dict[str, Any] = {}
        self._token_bytes = 0

    def begin(self, agent: Agent, options: argparse.Namespace) -> None:
        path = {"patch": "LMCache -> NIXL -> DOCA_DMA_PROXY -> agent -> %s",
                "plugin": "LMCache -> BlueCache's storage plugin -> agent -> %s"}[self.route] % agent.backend
        self.screen.heading("The way of the keys and values")
        self.screen.row("route", path)
        self.screen.row("agent", "%s, the BlueField emulated in software" % agent.address)
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        if load > BUSY_SHARE * cores:
            self.screen.row("note", "other programs keep this machine busy (load %.1f on %d processors): prefill "
                            "suffers more from that than restore does, so the factor flatters" % (load, cores))
        self.data = {"route": self.route, "load": load, "backend": agent.backend, "chunk_tokens": options.chunk,
                     "machine": {"cores": cores, "system": platform.platform()}, "scenarios": {}, "lengths": []}

    def first(self, ready: dict[str, Any], first: dict[str, Any]) -> None:
        """After the first process."""
        self._model(ready)
        show = self.screen
        show.heading("The first process computes and stores")
        show.row("model", "%s, %s, %d layers, %d KV heads of %d" % (
            ready["model"], ready["dtype"], ready["layers"], ready["heads"], ready["head_size"]))
        show.row("LMCache", ready["lmcache"])
        show.row("document", "{:,} tokens; {:,} of them in {} chunks of {}".format(
            first["length"], first["cached"], first["cached"] // ready["chunk_tokens"], ready["chunk_tokens"]))
        show.row("keys and values", "%s, %s bytes a token" % (
            megabytes(first["cached"] * self._token_bytes), format(self._token_bytes, ",")))
        show.row("prefill", seconds(first["prefill_s"]))
        show.row("store", seconds(first["store_s"]))
        show.row("first token after", seconds(first["first_token_s"]))
        show.row("text", first["text"])
        self.data["first"] = first

    def outcome(self, name: str, first: dict[str, Any], outcome: Outcome) -> bool:
        """After a scenario: whether all is as it should be."""
        restored, show = outcome.restored, self.screen
        show.line("  " + outcome.text)
        if restored["restored"]:
            show.row("restored", "{:,} of {:,} tokens".format(restored["restored"], restored["cached"]))
        if restored["restored"] == restored["cached"]:
            show.row("restore", "%s (look-up %s, transfer %s, into the model %s)" % (
                seconds(restored["restore_s"]), seconds(restored["lookup_s"]), seconds(restored["retrieve_s"]),
                seconds(restored["connector_s"])))
            show.row("factor", "%.1f x faster than prefill" % (first["prefill_s"] / restored["restore_s"]))
        else:
            show.row("restore, given up", seconds(restored["restore_s"]))
            show.row("computed again", seconds(restored["recompute_s"]))
        show.row("first token after", "%s (without a cache: %s)" % (
            seconds(restored["first_token_s"]), seconds(first["first_token_s"])))
        equal = same(restored, first)
        show.row("logits identical", "%s (%d positions of %s)" % (
            "yes" if restored["identical"] else "NO", restored["positions"], format(restored["vocabulary"], ",")))
        show.row("text", restored["text"] if equal else "DIFFERENT: " + restored["text"])
        show.row("agent's counters", self._counters(outcome.counters))
        if not outcome.expected:
            show.row("NOT AS EXPECTED", "see above")
        self.data["scenarios"][name] = {"restored": restored, "text": outcome.text, "expected": outcome.expected,
                                        "same": equal, "counters": outcome.counters}
        return equal and outcome.expected

    def length(self, ready: dict[str, Any], first: dict[str, Any], restored: dict[str, Any]) -> bool:
        """After one length of --lengths."""
        self._model(ready)
        equal = same(restored, first)
        whole = restored["restored"] == restored["cached"]
        if not self.data["lengths"]:
            self.screen.heading("Prefill and restore")
            self.screen.line("  %8s %10s %10s %22s %10s  %s" % (
                "tokens", "KV", "prefill", "restore (first)", "factor", "logits identical"))
        restore_s = statistics.median(restored["restore_all_s"])
        self.screen.line("  %8s %10s %10s %22s %10s  %s" % (
            format(first["cached"], ","), megabytes(first["cached"] * self._token_bytes), seconds(first["prefill_s"]),
            "%s (%s)" % (seconds(restore_s), seconds(restored["restore_s"])),
            "%.1f x" % (first["prefill_s"] / restore_s), "yes" if equal and whole else "NO"))
        self.data["lengths"].append({
            "tokens": first["cached"], "bytes": first["cached"] * self._token_bytes,
            "prefill_s": first["prefill_all_s"], "store_s": first["store_s"], "restore_s": restored["restore_all_s"],
            "identical": equal and whole})
        return equal and whole

    def _model(self, ready: dict[str, Any]) -> None:
        self._token_bytes = ready["token_bytes"]
        self.data["model"] = ready

    def _counters(self, counters: dict[str, int]) -> str:
        """How they changed, in words."""
        store = self.data["backend"]
        return "%d objects, %s in, %s out, %d hits, %d checksum errors" % (
            counters[store + "_objects"], megabytes(counters["pipeline_push_bytes_total"]),
            megabytes(counters["pipeline_pull_bytes_total"]), counters[store + "_hits_total"],
            counters[store + "_checksum_errors_total"])
