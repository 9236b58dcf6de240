# SPDX-License-Identifier: Apache-2.0
"""What happened, counted; and a log that does not grow with the number of failures."""

import logging
import threading
import time

logger = logging.getLogger("bluecache.lmcache")

NAMES = (
    "puts",  # objects stored
    "put_bytes",
    "puts_failed",  # the agent refused or was lost
    "puts_dropped_away",  # no agent to give them to
    "puts_dropped_full",  # more than put_queue_mb were under way
    "puts_dropped_unsupported",  # not bytes in memory that can be registered, or larger than an object may be
    "puts_skipped",  # the same key was already under way
    "gets",  # objects found and verified
    "get_bytes",
    "gets_missed",  # not there
    "gets_failed",  # there, but not in time, or not whole
    "gets_mismatched",  # there, with a layout that does not belong to the key
    "gets_no_memory",  # LMCache's pool had no room
    "gets_elsewhere",  # found at another agent than one's own
    "lookups",  # keys asked for
    "lookups_found",
    "lookups_remembered",  # answered by the presence cache
    "lookups_failed",  # keys nobody could be asked for
    "removed",
    "timeouts",  # requests and questions without an answer in time
    "regions_extra",  # objects outside LMCache's pool, registered for one request
)

LOG_SECONDS = 30.0


class Counters:
    """Any thread. Names are those above; snapshot() gives them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = dict.fromkeys(NAMES, 0)

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._values[name] += amount

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._values)


class RareLog:
    """Warnings that say each thing at most once in LOG_SECONDS, with the number that was not said. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def warn(self, what: str, text: str, *arguments: object) -> None:
        """what: the kind of thing; text and arguments as for logging."""
        now = time.monotonic()
        with self._lock:
            last, silent = self._last.get(what, (now - LOG_SECONDS, 0))
            if now - last < LOG_SECONDS:
                self._last[what] = (last, silent + 1)
                return
            self._last[what] = (now, 0)
        if silent:
            text += " (and %d more like this)" % silent
        logger.warning("BlueCache: " + text, *arguments)
