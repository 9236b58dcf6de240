# SPDX-License-Identifier: Apache-2.0
"""A small file system of its own for the store of one agent, which a test may freeze, fill, remount or cut short.
Where this user may not mount one, the test is skipped."""

import subprocess

import pytest

IMAGE_BYTES = 96 << 20


def command(*arguments):
    try:
        return subprocess.run(arguments, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip("there is no program %s here" % error.filename)


class Disk:
    def __init__(self, path, image):
        self.path = path
        self.image = image  # the file behind it

    def freeze(self):
        command("fsfreeze", "-f", self.path).check_returncode()

    def thaw(self):
        return command("fsfreeze", "-u", self.path).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """Mounted where the agent called "agent" has its store; thawed before anything else is cleaned up."""
    image, path = tmp_path / "image", tmp_path / "agent" / "store"
    path.mkdir(parents=True)
    with open(image, "wb") as file:
        file.truncate(IMAGE_BYTES)
    made = command("mkfs.ext4", "-q", "-E", "root_owner", str(image))
    if made.returncode != 0:
        pytest.skip("a file system cannot be made here: " + made.stderr.strip())
    mounted = command("mount", "-o", "loop", str(image), str(path))
    if mounted.returncode != 0:
        pytest.skip("a loop device cannot be mounted here: " + mounted.stderr.strip())
    disk = Disk(str(path), str(image))
    (path / "lost+found").rmdir()
    try:
        yield disk
    finally:
        disk.thaw()
        command("umount", "-l", str(path))
