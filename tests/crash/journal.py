# SPDX-License-Identifier: Apache-2.0
"""What a client did, in a file that outlives it: a line before each operation is sent and one when it has ended. A
client that is killed between the two leaves the first alone. From the lines follows what each key may show.

    R key version last   known: what the key showed when everything stood still, and the last version ever begun
    B key version        begun: a push of that version, or a remove (version 0)
    E key version how    ended: done, lost (nobody knows), refused (nothing was changed)
    X                    the agent is dead, and with it all it had in memory; written by the test

One client at a time changes a key, one operation at a time: whatever was begun before one that was done is over."""

import os

ABSENT = 0
DONE, LOST, REFUSED = "done", "lost", "refused"


class Key:
    """settled: the version that must be there, or ABSENT; open: others that may be instead."""

    def __init__(self):
        self.settled = ABSENT
        self.open = []
        self.last = 0  # version that was ever begun
        self.vanished = False

    def allowed(self):
        """What ended after the agent had died may have been done before."""
        return {self.settled, *self.open} | ({ABSENT} if self.vanished else set())

    def begin(self, version):
        self.open.append(version)
        self.last = max(self.last, version)

    def end(self, version, how):
        if how == DONE:
            self.settled, self.open = version, []
        elif how == REFUSED:
            self.open.remove(version)

    def know(self, version):
        self.settled, self.open, self.vanished = version, [], False

    def vanish(self):
        self.settled, self.vanished = ABSENT, True


def read(path):
    """{key: Key}. A line that was cut off counts as not written."""
    keys = {}
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    for line in lines:
        if line == b"X":
            for key in keys.values():
                key.vanish()
            continue
        kind, name, version, *how = line.decode().split()
        key = keys.setdefault(name, Key())
        if kind == "R":
            key.know(int(version))
            key.last = int(how[0])
        elif kind == "B":
            key.begin(int(version))
        else:
            key.end(int(version), how[0])
    return keys


class Journal:
    """Lines go to the kernel at once: kill -9 takes none of them back."""

    def __init__(self, path):
        self.keys = read(path)
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND)

    def _write(self, *words):
        os.write(self.fd, (" ".join(str(word) for word in words) + "\n").encode())

    def next_version(self, name):
        return self.keys[name].last + 1

    def begin(self, name, version):
        self._write("B", name, version)
        self.keys[name].begin(version)

    def end(self, name, version, how):
        self.keys[name].end(version, how)
        self._write("E", name, version, how)

    def close(self):
        os.close(self.fd)


def write_vanished(path):
    with open(path, "ab") as file:
        file.write(b"X\n")


def write_known(path, keys):
    """A new journal, of what is known for sure: {name: Key}."""
    with open(path, "w") as file:
        file.writelines("R %s %d %d\n" % (name, key.settled, key.last) for name, key in keys.items())
