# SPDX-License-Identifier: Apache-2.0
"""bench/run.py with tiny sizes: that it runs, checks what it moved, and reports in the promised shape. No figure is
judged here: this machine may be doing anything."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BLUECACHE_BUILD") or ROOT / "build" / "release")

SECONDS = 240
TINY = ["--pairs", "1", "--ring", "128M", "--bytes", "64M", "--pulls", "20"]
OURS_ALONE = ["dram", "latency"]
SCALE = ["idle", "index", "sizes", "huge"]
PARTS = ("dram", "huge", "emulation", "posix", "latency", "idle", "index", "cpu")


def run(tmp_path, *options):
    report = tmp_path / "report.json"
    logs = tmp_path / "logs"
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "run.py"), "--quick", *TINY, "--build", str(BUILD), "--root", str(tmp_path),
         "--python", sys.executable, "--json", str(report), "--keep-logs", str(logs), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=SECONDS,
        check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "report.json"], "something is left behind"
    return json.loads(report.read_text()), done.stdout


def check_rows(result):
    for row in result["rows"]:
        assert row["part"] in PARTS
        assert row["what"] and row["against"]
        assert row["unit"] in ("GB/s", "us", "ms/GiB", "us/request", "MiB")
        assert row["better"] in ("higher", "lower")
        assert row["pairs"] == 1
        assert row["bluecache"] >= 0 and row["peer"] > 0
        assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
        if row["aim"] is not None:
            assert row["aim"]["about"] in ("ratio", "value")
            assert row["aim"]["relation"] in (">=", "<=")
            assert isinstance(row["aim"]["met"], bool)


def texts(result, part):
    return {(row["what"], row["against"]) for row in result["rows"] if row["part"] == part}


def test_memory_parts_report_ratios_and_the_machine(tmp_path):
    result, text = run(tmp_path, "--ring", "64M", "--only", "dram", "--only", "latency")
    assert result["format"] == 1
    assert result["failures"] == [] and result["skipped"] == []
    assert result["settings"]["only"] == OURS_ALONE
    machine = result["machine"]
    assert machine["cores"] >= 1 and machine["kernel"] and len(machine["load_at_start"]) == 3
    assert 0 <= machine["others_share"]
    check_rows(result)
    dram = texts(result, "dram")
    for op in ("push", "pull"):
        for shape in ("64 x 1 MiB", "1024 x 64 KiB"):
            for memory in ("shareable memory", "malloc'd memory"):
                assert ("%s %s, %s" % (op, shape, memory), "bare loop on doca-emu") in dram
    assert ("pull 64 KiB, wait, p50", "TCP echo, sleeping") in texts(result, "latency")
    assert any(what.startswith("host, push 64 x 1 MiB") for what, _ in texts(result, "cpu"))
    assert any("fewer than 5 pairs" in warning for warning in result["warnings"])
    assert "ratio" in text and result["note"] in text


def test_scale_parts_report_rows_and_series(tmp_path):
    options = ["--ring", "64M", "--objects", "5000", "--sizes", "64K"]
    result, text = run(tmp_path, *options, *(word for name in SCALE for word in ("--only", name)))
    assert result["failures"] == []
    check_rows(result)
    assert [against for _, against in texts(result, "idle")] == ["no idle clients"]
    index = "memory beyond the pool, dram, 8192 objects"
    assert sorted(what for what, _ in texts(result, "index")) == [index, index + " in groups of 4"]
    assert texts(result, "huge") or any(entry["part"] == "huge" for entry in result["skipped"])
    points = {(point["name"], point["op"], point["size"]) for point in result["series"]}
    for op in ("push", "pull"):
        assert ("BlueCache", op, 64 << 10) in points and ("memcpy", op, 64 << 10) in points
    for entry in result["skipped"]:
        assert entry["reason"] and entry["reason"] in text


def test_list_names_every_part():
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "run.py"), "--list"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "dram", "huge", "posix", "latency", "comch", "idle", "index", "sizes", "lmcache"]


def test_file_part_names_what_it_left_out(tmp_path):
    result, text = run(tmp_path, "--only", "posix")
    assert result["failures"] == []
    check_rows(result)
    measured = {against for _, against in texts(result, "posix")}
    left_out = {entry["what"] for entry in result["skipped"]}
    assert "fio" in measured | left_out
    assert "NIXL POSIX" in measured or left_out & {"NIXL POSIX", "NIXL's plugin POSIX"}
    for entry in result["skipped"]:
        assert entry["reason"] and entry["reason"] in text


@pytest.mark.parametrize("options", [["--ring", "100M"], ["--pairs", "0.5"], ["--only", "nothing"], ["--bytes", "1M"]])
def test_wrong_options_are_usage_errors(options):
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "run.py"), "--build", str(BUILD), *options],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr
