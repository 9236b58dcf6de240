# SPDX-License-Identifier: Apache-2.0
"""bench/run.py --only lmcache with tiny sizes: that it runs, checks what it moved, and reports in the promised shape.
No figure is judged here: this machine may be doing anything."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BLUECACHE_BUILD") or ROOT / "build" / "release")
SECONDS = 240
PLUGIN, PATCH = "plugin", "patch"

pytestmark = pytest.mark.lmcache("0.5.6")


def run(tmp_path, *options, status=0):
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "run.py"), "--only", "lmcache", "--pairs", "1", "--ring", "64M",
         "--build", str(BUILD), "--root", str(tmp_path), "--json", str(report), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=SECONDS,
        check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"], "something is left behind"
    result = json.loads(report.read_text())
    for row in result["rows"]:
        assert row["bluecache"] > 0 and row["peer"] > 0 and row["pairs"] == 1
        assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
    for entry in result["skipped"]:
        assert entry["reason"] and entry["reason"] in done.stdout
    return result


def pairs(result, part):
    return {(row["what"], row["against"]) for row in result["rows"] if row["part"] == part}


def test_files_on_disk(tmp_path):
    result = run(tmp_path, "--kv-objects", "4,0", "--kv-place", "disk", "--kv-party", "NIXL POSIX dynamic, O_DIRECT",
                 "--kv-party", "BlueCache, patch")
    assert result["failures"] == []
    peer = "NIXL POSIX dynamic, O_DIRECT"
    whats = {"%s 4 x 4 MiB, posix, %s" % (op, route) for op in ("put", "get") for route in (PLUGIN, PATCH)}
    assert pairs(result, "lmcache disk") == {(what, peer) for what in whats}
    assert pairs(result, "lmcache cpu") == {("host, " + what, peer) for what in whats}
    assert pairs(result, "lmcache contains") == {
        ("contains of 4 keys of 4 MiB, posix, " + route, peer) for route in (PLUGIN, PATCH)}
    assert all((row["aim"] is not None) == (row["part"] != "lmcache contains") for row in result["rows"])


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_memory(tmp_path):
    result = run(tmp_path, "--kv-objects", "0,70", "--kv-place", "memory", "--kv-party", "Redis")
    assert result["failures"] == []
    assert pairs(result, "lmcache memory") == {("%s 70 x 256 KiB, dram, plugin" % op, "Redis") for op in ("put", "get")}
    assert pairs(result, "lmcache contains") == {("contains of 70 keys of 256 KiB, dram, plugin", "Redis")}


def test_what_cannot_be_measured_is_said(tmp_path):
    elsewhere = str(tmp_path.parent)
    result = run(tmp_path, "--kv-objects", "4,0", "--kv-place", "disk", "--venvs", elsewhere, status=1)
    assert result["rows"] == []
    assert "plugin could not be measured" in result["failures"][0]
    assert {"BlueCache, plugin", "BlueCache, patch", "LMCache local_disk"} <= {
        entry["what"] for entry in result["skipped"]}
