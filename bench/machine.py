# SPDX-License-Identifier: Apache-2.0
"""What a reader must know of the machine to make sense of the figures, and how busy it was with other things."""

import os
import platform
import re
import resource
import time

SECTOR = 512
BUSY_AT_START = 0.25   # load average, as a share of the processors
BUSY_MEANWHILE = 0.05  # processor time of others, as a share of all there was


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _chosen(path):
    """The word in brackets: how /sys/kernel/mm/transparent_hugepage tells what is in force."""
    found = re.search(r"\[(\w+)\]", _read(path))
    return found.group(1) if found else "unknown"


def _file_system(path):
    """Type of the file system that a path lies on."""
    path, best, kind = os.path.realpath(path), "", "unknown"
    for line in _read("/proc/self/mounts").splitlines():
        mount, found = line.split()[1:3]
        if (path == mount or path.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def device_stat(path):
    """Statistics of the device that a path lies on; None when its file system has no single one."""
    number = os.stat(path).st_dev
    stat = "/sys/dev/block/%d:%d/stat" % (os.major(number), os.minor(number))
    return stat if os.access(stat, os.R_OK) else None


def device_bytes(stat):
    """Read and written since the machine started."""
    fields = _read(stat).split() if stat else []
    return (int(fields[2]) + int(fields[6])) * SECTOR if len(fields) > 6 else 0


def memory_available():
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def facts(root):
    cpu, memory = _read("/proc/cpuinfo"), _read("/proc/meminfo")
    model = re.search(r"^model name\s*:\s*(.+)$", cpu, re.MULTILINE)
    numbers = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", memory, re.MULTILINE)}
    huge = "/sys/kernel/mm/transparent_hugepage/"
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model.group(1) if model else platform.machine(),
        "virtual": bool(re.search(r"^flags\s*:.*\bhypervisor\b", cpu, re.MULTILINE)),
        "last_level_cache": _read("/sys/devices/system/cpu/cpu0/cache/index3/size").strip() or "unknown",
        "memory_mib": numbers.get("MemTotal", 0) // 1024,
        "memory_available_mib": memory_available() >> 20,
        "kernel": platform.release(),
        "huge_pages_total": numbers.get("HugePages_Total", 0),
        "huge_pages_free": numbers.get("HugePages_Free", 0),
        "transparent_huge_pages": _chosen(huge + "enabled"),
        "transparent_huge_pages_shared": _chosen(huge + "shmem_enabled"),
        "file_system": _file_system(root),
        "load_at_start": [round(value, 2) for value in os.getloadavg()],
    }


def start_warnings(known):
    load, cores = known["load_at_start"][0], known["cores"]
    if load > BUSY_AT_START * cores:
        return ["the load average was %.2f at the start, on %d processors: figures from a busy machine wander, and "
                "latencies and everything with several threads suffers most" % (load, cores)]
    return []


class Others:
    """Processor time that went to anything but this program and the ended programs that it started."""

    def __init__(self, cores):
        self.cores = cores
        self.begin = self._now()

    @staticmethod
    def _now():
        fields = [int(value) for value in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        ticks = os.sysconf("SC_CLK_TCK")
        busy = (sum(fields) - fields[3] - fields[4]) / ticks  # without idle and waiting for I/O
        own = sum(used.ru_utime + used.ru_stime for used in
                  (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)))
        return time.monotonic(), busy, own

    def share(self):
        """Of all processor time since the start. The clocks differ a little: never below 0."""
        (began, busy, own), (now, busy_now, own_now) = self.begin, self._now()
        there = max(now - began, 1e-3) * self.cores
        return max(0.0, (busy_now - busy - (own_now - own)) / there)


def end_warnings(share):
    if share > BUSY_MEANWHILE:
        return ["other programs had %.0f %% of the processors' time during the run: repeat it when the machine is "
                "quiet before concluding anything" % (100 * share)]
    return []
