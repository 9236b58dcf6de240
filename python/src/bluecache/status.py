# SPDX-License-Identifier: Apache-2.0
"""The enumerations of bluecache.h and bluecache/status.h, with their values."""

import enum


class Status(enum.IntEnum):
    """What became of a request, an entry or a key. For a cache, everything but OK is a miss.

    A value that this version does not know (statuses may be added) reads as INTERNAL."""

    OK = 0
    IN_PROGRESS = 1  #: not decided yet
    NOT_FOUND = 2  #: no such object
    CHECKSUM = 3  #: the stored bytes failed verification
    RANGE = 4  #: past the end of the object or of the memory
    TILING = 5  #: the entries of a push do not cover [0, size) exactly
    KEY_TOO_LONG = 6  #: the key is empty or longer than KEY_LEN_MAX
    NO_SPACE = 7  #: the store is full, or the object larger than it
    IO_ERROR = 8  #: the storage failed
    DMA_ERROR = 9  #: the copy to or from this process's memory failed
    BAD_MEMORY = 10  #: the agent does not know the memory
    CANCELLED = 11
    TIMED_OUT = 12  #: the request's deadline passed
    DISCONNECTED = 13  #: the agent was lost
    INVALID = 14  #: an argument is outside the protocol's limits
    LIMIT = 15  #: more than the agent granted
    NOT_SUPPORTED = 16  #: unknown to this agent
    NO_MEMORY = 17  #: a table or pool of the agent is exhausted
    BUSY = 18  #: refused for now: try again
    TOO_BIG = 19  #: larger than an object may be
    DENIED = 20
    INTERNAL = 21  #: a state that should not happen; the agent's log says more
    SHUTTING_DOWN = 22  #: the agent takes no new work

    @classmethod
    def _missing_(cls, value: object) -> "Status | None":
        return cls.INTERNAL if isinstance(value, int) else None


class Op(enum.IntEnum):
    """The direction of a request."""

    PUSH = 1  #: memory -> object
    PULL = 2  #: object -> memory


class StatKind(enum.IntEnum):
    """What the numbers of a Stat mean."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


STATUS_OF: dict[int, Status] = {status.value: status for status in Status}


def status_of(value: int) -> Status:
    """The same as Status(value), several times faster."""
    return STATUS_OF.get(value, Status.INTERNAL)
