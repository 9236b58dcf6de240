# SPDX-License-Identifier: Apache-2.0
"""bluecache bench: that it does what it is told, counts what it does, and finds what is wrong."""

import signal
import subprocess
import time

import pytest

from tool import DONE, FAILED, make_tool, tool  # noqa: F401

SMALL = ["--size", "64K", "--batch", "4"]


def results(document):
    return {result["op"]: result for result in document["results"]}


def test_a_number_of_requests(tool):
    document = tool.json("bench", *SMALL, "--count", "25", "--threads", "2", "--verify")
    found = results(document)
    for op in ("push", "pull"):
        assert found[op]["requests"] == 25
        assert found[op]["objects"] == 100
        assert found[op]["bytes"] == 100 * 65536
        assert found[op]["misses"] == 0 and found[op]["mismatches"] == 0
        assert 0 < found[op]["p50_ns"] <= found[op]["p99_ns"] <= found[op]["max_ns"]
        assert found[op]["gb_per_s"] > 0 and found[op]["cpu_ms_per_gib"] > 0
    assert document["settings"]["keys"] == 16


def test_a_time(tool):
    found = results(tool.json("bench", *SMALL, "--seconds", "0.5", "--op", "push"))
    assert list(found) == ["push"]
    assert 0.45 < found["push"]["seconds"] < 5
    assert found["push"]["requests"] == found["push"]["objects"] / 4


@pytest.mark.parametrize("more", [[], ["--fresh"], ["--memory", "malloc"], ["--depth", "1", "--batch", "1"],
                                  ["--size", "100001"], ["--op", "pull", "--keys", "100"]])
def test_every_byte_is_verified(tool, more):
    found = results(tool.json("bench", *SMALL, "--count", "30", "--verify", *more))
    assert found["pull"]["requests"] == 30
    assert found["pull"]["misses"] == 0 and found["pull"]["mismatches"] == 0


def test_the_objects_are_removed(tool):
    tool("bench", *SMALL, "--count", "40", "--fresh", "--threads", "2")
    assert tool.metric("dram_objects") == 0
    tool("bench", *SMALL, "--count", "5", "--op", "push", "--keep", "--prefix", "left", "--warmup", "0")
    assert tool.metric("dram_objects") == 8
    tool("query", "left/0/0", "left/0/7")


def test_fresh_keys_are_new_objects(tool):
    tool("bench", *SMALL, "--count", "10", "--warmup", "0", "--op", "push", "--fresh", "--keep")
    assert tool.metric("dram_objects") == 40


def test_a_store_that_is_too_small_is_told(make_tool):
    tool = make_tool(backend="dram", memory_mb=32)
    done = tool("bench", "--size", "1M", "--keys", "64", "--op", "pull", "--count", "20", status=FAILED)
    assert b"objects missed" in done.stdout


def test_wrong_contents_are_found(tool, tmp_path):
    """Somebody else writes to a key of the benchmark while it pulls."""
    bench = tool.start("--json", "bench", *SMALL, "--op", "pull", "--verify", "--prefix", "mine", "--seconds", "30",
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while tool.metric("session_pulls_total") == 0:
        assert time.monotonic() < deadline and bench.poll() is None
    tool("push", "mine/0/3", "-", stdin=bytes(65536))
    seen = tool.metric("session_pulls_total")
    while tool.metric("session_pulls_total") < seen + 20:
        assert time.monotonic() < deadline and bench.poll() is None
    bench.send_signal(signal.SIGINT)
    output, errors = bench.communicate(timeout=60)
    assert bench.returncode == FAILED, errors
    assert b'"mismatches":0' not in output and b'"misses":0' in output


def test_an_interrupt_ends_it_with_what_there_is(tool):
    bench = tool.start("bench", "--op", "push", "--seconds", "60", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while tool.metric("session_pushes_total") < 20:
        assert time.monotonic() < deadline and bench.poll() is None
    bench.send_signal(signal.SIGINT)
    output, errors = bench.communicate(timeout=60)
    assert bench.returncode == DONE and errors == b""
    assert b"push" in output
    assert tool.metric("dram_objects") == 0


def test_the_agent_goes_away(tool):
    bench = tool.start("bench", "--seconds", "60", "--timeout", "3", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while tool.metric("session_pushes_total") < 20:
        assert time.monotonic() < deadline and bench.poll() is None
    tool.agent.kill()
    _, errors = bench.communicate(timeout=60)
    assert bench.returncode == 3, errors
