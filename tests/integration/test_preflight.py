# SPDX-License-Identifier: Apache-2.0
"""dpu_dma_copy --preflight as a program: its table, its exit status, and that it leaves nothing behind."""

import os
import re
import socket
import subprocess

import pytest

from agent import DPU_PCI, PROGRAM

SECONDS = 60
ROW = re.compile(r"^(.{28}) \| (ok|warn|FAIL) +(.*)$")


@pytest.fixture
def preflight(world, tmp_path):
    """Runs it with these options: (exit status, {check: (mark, what it says)}, the last line)."""

    def run(*arguments, **variables):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("BLUECACHE_", "DOCA_EMU_", "NOTIFY_"))}
        command = [str(PROGRAM), "-p", DPU_PCI, "-m", "16", "--root", str(tmp_path / "store"), "--preflight",
                   *map(str, arguments)]
        done = subprocess.run(command, env=dict(environment, DOCA_EMU_WORLD=world, **variables),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
        _, *lines, last = done.stdout.splitlines()
        rows = [ROW.match(line) for line in lines]
        assert all(rows), done.stdout
        return done.returncode, {row[1].strip(): (row[2], row[3]) for row in rows}, last

    return run


TCP = ["-T", "--listen", "127.0.0.1:0"]


def test_all_fine_is_status_0(preflight):
    status, rows, last = preflight(*TCP)
    assert status == 0 and last.startswith("the agent would start: 0 failed, "), rows
    for check in ("DOCA", "device", "DMA", "import", "host functions", "Comch", "kernel", "io_uring", "processors",
                  "memory", "huge pages", "locked memory", "open files", "store", "file system", "direct I/O", "space",
                  "start: device", "start: store", "start: workers", "start: listener"):
        assert rows[check][0] != "FAIL", rows
    assert DPU_PCI in rows["device"][1] and "works" in rows["io_uring"][1]
    assert "emulation" in rows["DOCA"][1] and rows["DOCA"][0] == "warn"
    # The same again, and a start: nothing of it is in the way.
    assert preflight(*TCP)[0] == 0


def test_store_is_not_looked_at_where_none_is_used(preflight, tmp_path):
    status, rows, _ = preflight(*TCP, "-b", "dram")
    assert status == 0 and "file system" not in rows
    assert not (tmp_path / "store").exists()


def test_what_fails_says_what_to_do(preflight, tmp_path):
    status, rows, last = preflight(*TCP, "-p", "0000:77:00.0", "--root", tmp_path / "no" / "such")
    assert status == 1 and last.startswith("the agent would not start: 2 failed")
    assert rows["device"][0] == "FAIL" and DPU_PCI in rows["device"][1] and "-p" in rows["device"][1]
    assert rows["store"][0] == "FAIL" and "mkdir" in rows["store"][1]
    assert rows["start"] == ("warn", "not tried | see to what failed first")


def test_host_function_cannot_run_the_agent(preflight):
    status, rows, _ = preflight(*TCP, "-p", "0000:ba:00.0")
    assert status == 1 and rows["import"][0] == "FAIL"
    assert "host's function" in rows["import"][1] and "INTERNAL_CPU_MODEL" in rows["import"][1]


def test_step_that_only_a_start_finds(preflight):
    with socket.create_server(("127.0.0.1", 0)) as other:
        status, rows, _ = preflight("-T", "--listen", "127.0.0.1:%d" % other.getsockname()[1])
        assert status == 1 and rows["start: listener"][0] == "FAIL" and "--listen" in rows["start: listener"][1]


def test_limits_of_the_process_are_seen(preflight):
    status, rows, _ = preflight(*TCP, "--connections-max", "65536", "--workers", "4")
    assert status == 0
    hard = int(subprocess.run(["bash", "-c", "ulimit -Hn"], capture_output=True, text=True, check=True).stdout
               .replace("unlimited", str(2 ** 62)))
    assert rows["open files"][0] == ("ok" if hard >= 65536 + 1024 else "warn")
    assert rows["processors"][0] == ("ok" if len(os.sched_getaffinity(0)) >= 4 or os.cpu_count() >= 4 else "warn")
