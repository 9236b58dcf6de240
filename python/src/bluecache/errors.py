# SPDX-License-Identifier: Apache-2.0
"""What the package raises, besides TypeError and ValueError for arguments that no agent needs to see.

A transfer that fails is not an exception: it ends in a Status. Error is for calls that could not be made."""

import errno as _errno
import os


class Error(OSError):
    """A call of the library failed: `errno` is positive, as in the module errno; `strerror` says what was wrong.

    EINVAL (an argument), ENOTCONN (the agent is away), ETIMEDOUT (the deadline passed), EBUSY (something is still in
    use), EINPROGRESS (the agent is stopped inside a copy: call again), ENOMEM, ENOSPC, ENODEV, ENOTSUP, EFAULT, EIO.
    """

    errno: int
    strerror: str

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(number, text or os.strerror(number))


class ConnectError(Error):
    """No client could be opened: ECONNREFUSED, ETIMEDOUT, ENODEV (no such PCI function), EINVAL (an option),
    EPROTONOSUPPORT (its version), EOPNOTSUPP (no Comch), EACCES (refused by the agent), ENOMEM."""


class ClosedError(Error):
    """A handle was used after it was freed or its client closed (EBADF), or in a forked child (ECHILD)."""

    def __init__(self, text: str, number: int = _errno.EBADF) -> None:
        super().__init__(number, text)


class LibraryError(Error):
    """libbluecache was not found, does not load, or is of another version."""

    def __init__(self, text: str) -> None:
        super().__init__(_errno.ELIBACC, text)
