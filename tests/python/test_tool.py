# SPDX-License-Identifier: Apache-2.0
"""bluecache push, pull, query, remove, stats, ping: against a real agent."""

import os
import pty
import signal
import stat
import subprocess
import time

import pytest

from tool import DONE, FAILED, PROGRAM, UNREACHABLE, USAGE, lonely_tool, make_tool, tool  # noqa: F401

MIB = 1 << 20


def written(path, size):
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("backend", ["dram", "posix"])
@pytest.mark.parametrize("size", [0, 1, 4095, 65537, 5 * MIB + 3, 70 * MIB + 1])
def test_a_file_comes_back(make_tool, tmp_path, backend, size):
    tool = make_tool(backend=backend, memory_mb=192)
    file = written(tmp_path / "file", size)
    tool("push", "dir/../key", "file")
    assert tool.json("query", "dir/../key")["objects"][0]["size"] == size
    tool("pull", "dir/../key", "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_replacing_changes_all_of_it(tool, tmp_path):
    written(tmp_path / "long", 3 * MIB)
    short = written(tmp_path / "short", 1000)
    tool("push", "key", "long")
    tool("push", "key", "short")
    tool("pull", "key", "back")
    assert (tmp_path / "back").read_bytes() == short.read_bytes()


def test_pipes(tool):
    data = os.urandom(3 * MIB + 5)
    tool("push", "key", "-", stdin=data)
    done = tool("pull", "key", "-")
    assert done.stdout == data
    assert b"pull: 3.00 MiB" in done.stderr
    done = tool("--json", "pull", "key", "-")
    assert done.stdout == data and b'"bytes":%d' % len(data) in done.stderr


def test_a_reader_that_goes_away(tool):
    tool("push", "key", "-", stdin=bytes(20 * MIB))
    process = tool.start("pull", "key", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1000)
    process.stdout.close()
    assert b"Broken pipe" in process.stderr.read()
    assert process.wait(60) == FAILED


def test_a_miss_leaves_no_file(tool, tmp_path):
    old = written(tmp_path / "old", 10)
    before = sorted(tmp_path.iterdir())
    assert b"no such object" in tool("pull", "key", "new", status=FAILED).stderr
    tool("pull", "key", "old", status=FAILED)
    assert sorted(tmp_path.iterdir()) == before and old.stat().st_size == 10


def test_what_is_wrong_with_the_file_is_told(tool, tmp_path):
    tool("push", "key", "-", stdin=b"x")
    assert b"No such file" in tool("push", "key", "missing", status=FAILED).stderr
    assert b"No such file" in tool("pull", "key", "missing/file", status=FAILED).stderr
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", (1 << 30) + 1)
    assert b"larger than 1 GiB" in tool("push", "key", "large", status=FAILED).stderr
    assert tool("pull", "key", "-").stdout == b"x"


def test_devices_and_links_stay_what_they_are(tool, tmp_path):
    tool("push", "key", "-", stdin=b"contents")
    tool("pull", "key", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "target").write_bytes(b"old")
    tool("pull", "key", "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"contents"


def test_keys_of_any_bytes(tool):
    keys = [b"\x00", b"\x00\x00", b"a\x00b", bytes(range(256)), os.urandom(1024), b".."]
    for number, key in enumerate(keys):
        tool("push", "--key-hex", key.hex(), "-", stdin=b"%d" % number)
    for number, key in enumerate(keys):
        assert tool("pull", "-x", key.hex().upper(), "-").stdout == b"%d" % number
    objects = tool.json("query", "-x", *[key.hex() for key in keys])["objects"]
    assert [bytes.fromhex(found["key_hex"]) for found in objects] == keys
    assert [found["key"] for found in objects] == [None if 0 in key or key == keys[4] else ".." for key in keys]
    assert b"\x1b" not in tool("query", "\x1b[2J", status=FAILED).stdout


def test_query_and_remove(tool):
    tool("push", "a", "-", stdin=b"12345")
    tool("push", "b", "-", stdin=b"")
    found = tool.json("query", "a", "none", "b", status=FAILED)["objects"]
    assert [(o["key"], o["status"], o.get("size")) for o in found] == [
        ("a", "ok", 5), ("none", "not_found", None), ("b", "ok", 0)]
    tool("query", "a", "b")
    removed = tool.json("remove", "a", "none", status=FAILED)["objects"]
    assert [(o["key"], o["status"]) for o in removed] == [("a", "ok"), ("none", "not_found")]
    assert b"There is no such object." in tool("query", "a", status=FAILED).stdout
    assert b"Removed." in tool("remove", "b").stdout


@pytest.mark.parametrize("size", [192 * MIB, 150 * MIB, 230 * MIB], ids=["same size", "smaller", "larger"])
def test_an_object_that_is_replaced_while_it_is_pulled(make_tool, tmp_path, size):
    """What arrives is of one version. The pull stands still, some of its pieces asked for, while another push
    comes in between."""
    tool = make_tool(backend="posix", memory_mb=32, options=["-q", "1", "--chunk", "64K"])
    (tmp_path / "old").write_bytes(b"o" * (192 * MIB))
    (tmp_path / "new").write_bytes(b"n" * size)
    tool("push", "key", "old")
    pull = tool.start("pull", "key", "back", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while tool.metric("session_pulls_total") == 0:
        assert time.monotonic() < deadline
    pull.send_signal(signal.SIGSTOP)
    try:
        tool("push", "key", "new")
    finally:
        pull.send_signal(signal.SIGCONT)
    _, errors = pull.communicate(timeout=60)
    assert pull.returncode == DONE, errors
    data = (tmp_path / "back").read_bytes()
    assert (len(data), data[:1]) in ((192 * MIB, b"o"), (size, b"n")) and data.count(data[:1]) == len(data)


def test_the_agent_cannot_be_reached(tool, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    tool.agent.stop()
    for arguments in (["ping"], ["stats"], ["query", "k"], ["remove", "k"], ["push", "k", "file"],
                      ["pull", "k", "back"], ["bench", "--count", "1"]):
        done = tool(*arguments, status=UNREACHABLE)
        assert done.stdout == b"" and b"dpu_dma_copy" in done.stderr, done
    assert not (tmp_path / "back").exists()


def test_the_agent_goes_away_in_the_middle(tool):
    watch = tool.start("stats", "--watch", "0.1", "--timeout", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"dpu_dma_copy" in watch.stdout.readline()
    tool.agent.kill()
    _, errors = watch.communicate(timeout=60)
    assert watch.returncode == UNREACHABLE and b"agent" in errors


@pytest.mark.parametrize("arguments, sentence", [
    ([], "a command is missing"),
    (["frobnicate"], "frobnicate is no command"),
    (["--frobnicate", "ping"], "--frobnicate is no option"),
    (["push", "key"], "push takes KEY FILE"),
    (["push", "key", "file", "more"], "push takes KEY FILE"),
    (["query"], "query takes KEY..."),
    (["ping", "more"], "ping takes no argument"),
    (["query", ""], "a key has 1 to 1024 bytes"),
    (["query", "k" * 1025], "a key has 1 to 1024 bytes"),
    (["query", "-x", "0"], "odd number of hex digits"),
    (["query", "-x", "0g"], "not made of hex digits"),
    (["ping", "--count", "0"], "--count is 0"),
    (["bench", "--size", "2G"], "--size is 2G"),
    (["bench", "--seconds", "1", "--count", "1"], "exclude each other"),
    (["bench", "--keys", "1"], "at least 32"),
    (["-m", "pigeon", "ping"], "pigeon"),
    (["-p", "0000:99:00.0", "ping"], "0000:99:00.0"),
    (["-d", "1.2.3.4:x", "ping"], "1.2.3.4:x"),
])
def test_mistakes_get_a_sentence(lonely_tool, arguments, sentence):
    done = lonely_tool(*arguments, status=USAGE)
    assert done.stdout == b"" and sentence in done.stderr.decode()


def test_more_than_the_agent_grants(make_tool):
    tool = make_tool(backend="dram", options=["--requests-max", "2", "--entries-max", "4"])
    assert b"2 requests" in tool("bench", "--depth", "3", "--batch", "1", status=USAGE).stderr
    assert b"4 objects" in tool("bench", "--batch", "5", status=USAGE).stderr


def test_stats(tool):
    tool("push", "key", "-", stdin=bytes(1000))
    metrics = tool.json("stats")["metrics"]
    assert metrics["bluecache_session_pushes_total"] == {"kind": "counter", "value": 1}
    assert metrics["bluecache_dram_objects"] == {"kind": "gauge", "value": 1}
    assert metrics["bluecache_session_push_ns"]["count"] == 1
    lines = tool("stats").stdout.decode().splitlines()
    at = lines.index("dram")
    assert lines[at - 1] == "" and lines[at + 1].split() == ["objects", "1"]
    assert any(line.split()[:3] == ["put_bytes_total", "1000", "B"] for line in lines)
    assert sum(line == "dram" for line in lines) == 1


def test_stats_again_and_again(tool):
    done = tool("stats", "--watch", "0.05", "--count", "3")
    assert done.stdout.count(b"\nsession\n") == 3 and b"a second" in done.stdout
    done = tool("--json", "stats", "--watch", "0.05", "--count", "3")
    assert done.stdout.count(b"\n") == 3
    watch = tool.start("stats", "--watch", "0.1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    _, errors = watch.communicate(timeout=60)
    assert watch.returncode == DONE and errors == b""


def test_ping(tool):
    found = tool.json("ping", "--count", "25")
    assert found["count"] == 25 and found["emulated"] is True
    assert 0 < found["min_ns"] <= found["p50_ns"] <= found["p99_ns"] <= found["max_ns"]
    assert b"3 round trips" in tool("ping", "-c", "3", "-i", "0.01").stdout


def test_help_and_version(lonely_tool):
    tool = lonely_tool
    assert tool("--version").stdout.startswith(b"bluecache ")
    assert tool("ping", "-V").stdout == tool("-V").stdout
    for command in ("push", "pull", "query", "remove", "stats", "ping", "bench"):
        assert command in tool("--help").stdout.decode()
        assert tool(command, "--help").stdout == tool("help", command).stdout


def on_a_terminal(tool, *arguments):
    """Standard error is a terminal: what is shown on it."""
    leader, follower = pty.openpty()
    process = tool.start(*arguments, stdout=subprocess.DEVNULL, stderr=follower, stdin=subprocess.DEVNULL)
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            shown += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert process.wait(60) == DONE
    return shown


def test_progress_is_for_terminals(tool):
    shown = on_a_terminal(tool, "bench", "--op", "push", "--seconds", "1")
    assert b"push" in shown and b"%" in shown and b"/s" in shown and b"left" in shown
    assert shown.endswith(b"\r\x1b[K")
    assert on_a_terminal(tool, "--no-progress", "bench", "--op", "push", "--seconds", "1") == b""
    assert tool("bench", "--op", "push", "--seconds", "0.6").stderr == b""
