# SPDX-License-Identifier: Apache-2.0
"""The demonstration with the real model, on a short document: what a new process restores is what the first one
computed, to the last bit of every logit, also with a flipped bit in the store, with the agent killed inside of a copy,
and after its restart. With each release of LMCache one of the two routes."""

import json
import os
import subprocess
import sys
import uuid

import pytest
from agent import BUILD, ROOT

DEMO = ROOT / "examples" / "lmcache" / "demo.py"
TOKENS, CHUNK, GENERATE = 300, 64, 6
CHUNKS = TOKENS // CHUNK
RUN_SECONDS = 280


def run_demo(*arguments, build=BUILD, cache=None):
    """One thread: on a machine that is busy, two that wait for each other take several times as long."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    command = [sys.executable, str(DEMO), "--build", str(build), "--cache-dir", str(cache or BUILD / "demo-cache"),
               *arguments]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=RUN_SECONDS, check=False)


def play(folder, *scenarios, route):
    """The report of these scenarios, which all have to go well."""
    report = folder / ("report-%s.json" % uuid.uuid4().hex)
    chosen = [word for name in scenarios for word in ("--scenario", name)]
    done = run_demo("--route", route, "--tokens", str(TOKENS), "--chunk", str(CHUNK), "--generate", str(GENERATE),
                    "--json", str(report), *chosen)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("logits identical") == len(scenarios)
    return json.loads(report.read_text())


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """Through NIXL: what three scenarios gave, after one prefill."""
    return play(tmp_path_factory.mktemp("demo"), "plain", "flipped", "killed", route="patch")


@pytest.mark.lmcache("0.4.3")
@pytest.mark.timeout(RUN_SECONDS + 20)
def test_new_process_restores_every_chunk(patched):
    restored = patched["scenarios"]["plain"]["restored"]
    assert restored["restored"] == restored["cached"] == CHUNKS * CHUNK
    assert restored["identical"] and restored["generated"] == patched["first"]["generated"]
    # Every position of what is not cached, and every generated token but the last, which nothing is asked after.
    assert restored["positions"] > TOKENS - CHUNKS * CHUNK and len(restored["generated"]) == GENERATE
    counters = patched["scenarios"]["plain"]["counters"]
    assert counters["posix_objects"] == counters["posix_hits_total"] == CHUNKS
    assert counters["pipeline_pull_bytes_total"] == CHUNKS * CHUNK * patched["model"]["token_bytes"]


@pytest.mark.lmcache("0.4.3")
@pytest.mark.timeout(RUN_SECONDS + 20)
def test_flipped_bit_is_found_and_computed_again(patched):
    flipped = patched["scenarios"]["flipped"]
    assert flipped["counters"]["posix_checksum_errors_total"] == 1
    assert flipped["restored"]["restored"] < flipped["restored"]["cached"]
    assert flipped["restored"]["identical"] and flipped["restored"]["text"] == patched["first"]["text"]
    assert flipped["counters"]["posix_objects"] == CHUNKS


@pytest.mark.lmcache("0.4.3")
@pytest.mark.timeout(RUN_SECONDS + 20)
def test_killed_agent_costs_computing_and_nothing_else(patched):
    killed = patched["scenarios"]["killed"]
    assert killed["restored"]["found"] == killed["restored"]["cached"]
    assert killed["restored"]["restored"] < killed["restored"]["cached"]
    assert killed["restored"]["identical"] and killed["restored"]["text"] == patched["first"]["text"]
    assert killed["counters"]["posix_objects"] == CHUNKS


@pytest.mark.lmcache("0.5.6")
@pytest.mark.timeout(RUN_SECONDS + 20)
def test_store_survives_the_agents_restart(tmp_path):
    report = play(tmp_path, "restart", route="plugin")
    restored = report["scenarios"]["restart"]["restored"]
    assert restored["restored"] == restored["cached"] == CHUNKS * CHUNK
    assert restored["identical"] and restored["generated"] == report["first"]["generated"]


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO.parent))


def test_difference_is_told_and_fails(modules, capsys):
    from demo_report import Report
    from demo_scenarios import Outcome
    from demo_show import Screen

    counters = dict.fromkeys(["posix_objects", "posix_hits_total", "posix_checksum_errors_total",
                              "pipeline_push_bytes_total", "pipeline_pull_bytes_total"], 0)
    first = {"prefill_s": 2.0, "first_token_s": 2.1, "generated": [1, 2], "text": "yes"}
    good = {"restored": 64, "cached": 64, "restore_s": 0.1, "lookup_s": 0.0, "retrieve_s": 0.1, "connector_s": 0.0,
            "recompute_s": 0.0, "first_token_s": 0.2, "identical": True, "positions": 2, "vocabulary": 3,
            "generated": [1, 2], "text": "yes"}
    report = Report(Screen(), "patch")
    report.data.update(backend="posix", scenarios={})

    def judge(expected=True, **changes):
        return report.outcome("plain", first, Outcome({**good, **changes}, "It was so.", expected, counters))

    assert judge()
    assert "logits identical   yes" in capsys.readouterr().out
    assert not judge(identical=False)
    assert "logits identical   NO" in capsys.readouterr().out
    assert not judge(generated=[1, 3], text="no")
    assert "DIFFERENT" in capsys.readouterr().out
    assert not judge(expected=False)


def test_slices_of_an_object(modules):
    from demo_agent import slices

    assert [slices(size) for size in (1, 262144, 262145, 1 << 20, (1 << 20) + 1, 5898240)] == [1, 1, 2, 4, 5, 23]


@pytest.mark.parametrize("arguments", [["--tokens", "10", "--chunk", "64"], ["--lengths", "256", "--all"],
                                       ["--backend", "dram", "--all"], ["--scenario", "none"], ["--generate", "0"]])
def test_wrong_usage_is_told_at_once(arguments):
    assert run_demo(*arguments).returncode == 2


def test_missing_build_is_named(tmp_path):
    done = run_demo(build=tmp_path, cache=tmp_path / "cache")
    assert done.returncode == 3 and "is not built" in done.stdout and str(tmp_path) in done.stdout
