# SPDX-License-Identifier: Apache-2.0
"""Reserved huge pages of 2 MiB: there are enough, or root reserves more for as long as they are needed."""

import contextlib
import re

COUNT = "/proc/sys/vm/nr_hugepages"
COMPACT = "/proc/sys/vm/compact_memory"
PAGE = 2 << 20
TRIES = 4


class Unavailable(Exception):
    """There are not enough; the text says what was missing."""


def _write(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write("%d\n" % value)


def _read():
    """Total and free pages."""
    with open("/proc/meminfo", encoding="ascii") as file:
        text = file.read()
    numbers = dict(re.findall(r"^(HugePages_Total|HugePages_Free|Hugepagesize):\s+(\d+)", text, re.MULTILINE))
    if int(numbers.get("Hugepagesize", 0)) * 1024 != PAGE:
        raise Unavailable("this kernel has no huge pages of 2 MiB")
    return int(numbers["HugePages_Total"]), int(numbers["HugePages_Free"])


def _reserve(wanted, missing):
    try:
        for _ in range(TRIES):
            _write(COUNT, wanted)
            if _read()[0] >= wanted:
                return
            _write(COMPACT, 1)  # memory is in pieces that are too small
    except PermissionError:
        raise Unavailable("%d more huge pages of 2 MiB are needed; root can reserve them: sysctl vm.nr_hugepages=%d"
                          % (missing, wanted)) from None
    raise Unavailable("only %d of %d huge pages of 2 MiB could be reserved" % (_read()[0], wanted))


@contextlib.contextmanager
def reserved(length):
    """At least `length` bytes of them are free inside; afterwards as many are reserved as were before."""
    total, free = _read()
    missing = -(-length // PAGE) - free
    if missing <= 0:
        yield
        return
    try:
        _reserve(total + missing, missing)
        yield
    finally:
        with contextlib.suppress(OSError):
            _write(COUNT, total)
