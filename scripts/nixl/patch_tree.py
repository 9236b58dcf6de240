#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the backend DOCA_DMA_PROXY into a NIXL source tree, or takes it out again."""

import argparse
import fcntl
import os
import re
import signal
import stat
import sys
from typing import Dict, List, NoReturn, Optional

import edits
import folder
import transaction
from transaction import Trouble

DESCRIPTION = """\
Puts the backend DOCA_DMA_PROXY into the NIXL source tree SRC: four small edits, and the folder
src/plugins/doca_dma_proxy with copies of all sources. Then, in SRC:

    meson setup build -Denable_plugins=DOCA_DMA_PROXY && ninja -C build

Run again it does nothing, or brings the copies up to date. A tree that it does not recognise is
left as it is; a run that fails or is interrupted is taken back, at the latest by the next one.
"""
EPILOG = "exit status: 0 done (with --check: in place and up to date), 1 --check: not so, 2 refused"
TRIED = ((1, 1), (1, 4))
BACKEND_HEADER = "src/api/cpp/backend/backend_plugin.h"


class Tree:
    """A NIXL source tree, as it was found."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.place = os.path.join(root, edits.FOLDER)
        self.texts = {edit.path: self._read(edit.path) for edit in edits.EDITS}
        self._read(BACKEND_HEADER)
        self.applied: Dict[str, bool] = {}
        for edit in edits.EDITS:
            try:
                self.applied[edit.path] = edit.applied(self.texts[edit.path])
            except edits.Unrecognised as error:
                raise Trouble("%s %s: this is not a NIXL source tree that the script knows (1.1.0 to 1.4)"
                              % (os.path.join(root, edit.path), error)) from None
        self.manifest = folder.read_manifest(self.place)
        if os.path.lexists(self.place) and (self.manifest is None or os.path.islink(self.place)):
            raise Trouble("%s is there, but this script did not make it" % self.place)

    def _read(self, path: str) -> str:
        there = os.path.join(self.root, path)
        try:
            found = os.lstat(there)
            if not stat.S_ISREG(found.st_mode):
                raise Trouble("%s is not a plain file" % there)
            if not found.st_mode & stat.S_IWUSR:
                raise Trouble("%s is read-only" % there)
            with open(there, encoding="utf-8", newline="") as file:
                return file.read()
        except FileNotFoundError:
            raise Trouble("%s is not a NIXL source tree: it has no %s" % (self.root, path)) from None
        except UnicodeDecodeError:
            raise Trouble("%s is not a text file" % there) from None

    def parts(self) -> Dict[str, bool]:
        return {**self.applied, edits.FOLDER: self.manifest is not None}

    def is_clean(self) -> bool:
        return not any(self.parts().values())

    def version(self) -> str:
        found = re.search(r"^project\('nixl'[^)]*?version: *'([^']+)'", self.texts["meson.build"], re.MULTILINE)
        return found.group(1) if found else "of unknown version"

    def is_tried(self) -> bool:
        found = re.match(r"(\d+)\.(\d+)", self.version())
        return found is not None and TRIED[0] <= (int(found.group(1)), int(found.group(2))) <= TRIED[1]

    def refuse_half(self) -> None:
        parts = self.parts()
        if any(parts.values()) and not all(parts.values()):
            raise Trouble("%s is patched in part: %s there, %s missing. Take it out with --revert, then patch again"
                          % (self.root, ", ".join(path for path, there in parts.items() if there),
                             ", ".join(path for path, there in parts.items() if not there)))

    def refuse_changed(self) -> None:
        """What somebody has changed in the copies would be lost."""
        if self.manifest is None:
            return
        changed = folder.changed_files(self.place, self.manifest)
        if changed:
            raise Trouble("%s was changed by hand: %s. Keep what you need of it, remove that folder, then --revert"
                          % (self.place, ", ".join(changed[:8]) + (" and more" if len(changed) > 8 else "")))


def say(text: str) -> None:
    print("patch_nixl: " + text)


def check(root: str) -> int:
    if transaction.interrupted(root):
        say("an earlier run was interrupted: run again, with --revert or without, to take it back")
        return 1
    tree = Tree(root)
    tree.refuse_half()
    if tree.manifest is None:
        say("NIXL %s in %s: not patched" % (tree.version(), root))
        return 1
    tree.refuse_changed()
    stale = stale_edits(tree)
    if stale or not folder.is_current(tree.manifest, folder.contents()):
        say("NIXL %s in %s: patched from another state of BlueCache; run again to bring it up to date"
            % (tree.version(), root))
        return 1
    say("NIXL %s in %s: patched and up to date" % (tree.version(), root))
    return 0


def stale_edits(tree: Tree) -> Dict[str, bytes]:
    """The files whose edit is missing, or reads otherwise today, with what they should hold."""
    wanted = {}
    for edit in edits.EDITS:
        text = tree.texts[edit.path]
        new = edit.add(edit.remove(text))
        if new != text:
            wanted[edit.path] = new.encode()
    return wanted


def patch(root: str) -> int:
    tree = Tree(root)
    tree.refuse_half()
    tree.refuse_changed()
    files = folder.contents()
    texts = stale_edits(tree)
    if tree.manifest is not None and not texts and folder.is_current(tree.manifest, files):
        say("NIXL %s in %s: already patched, nothing to do" % (tree.version(), root))
        return 0
    was_clean = tree.is_clean()
    transaction.change(root, texts, edits.FOLDER, files)
    say("NIXL %s in %s: %s (%d files in %s)" % (tree.version(), root, "patched" if was_clean else "brought up to date",
                                                len(files), edits.FOLDER))
    if not tree.is_tried():
        say("note: this was tried with NIXL 1.1.0 to 1.4, and not with %s" % tree.version())
    return 0


def revert(root: str) -> int:
    tree = Tree(root)
    if tree.is_clean():
        say("NIXL %s in %s: not patched, nothing to do" % (tree.version(), root))
        return 0
    tree.refuse_changed()
    texts = {edit.path: edit.remove(tree.texts[edit.path]).encode()
             for edit in edits.EDITS if tree.applied[edit.path]}
    transaction.change(root, texts, edits.FOLDER, None)
    say("NIXL %s in %s: taken out" % (tree.version(), root))
    return 0


def lock(root: str) -> int:
    """Two runs on one tree would undo each other."""
    try:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Trouble("%s: %s" % (root, error.strerror)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Trouble("another run is at work in %s" % root) from None
    return handle


def stop(number: int, _: object) -> NoReturn:
    """A polite end: what was done is taken back on the way out, undisturbed by a second signal."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Trouble("stopped by %s" % signal.Signals(number).name)


def run(arguments: argparse.Namespace) -> int:
    root = os.path.abspath(arguments.src)
    handle = lock(root)
    try:
        if arguments.check:
            return check(root)
        if transaction.recover(root):
            say("took back what an interrupted run had left")
        return revert(root) if arguments.revert else patch(root)
    finally:
        os.close(handle)


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="patch_nixl.sh", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", metavar="SRC", help="root of the NIXL source tree")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="change nothing, say how the tree stands")
    what.add_argument("--revert", action="store_true", help="take the edits and the folder out again")
    arguments = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run(arguments)
    except Trouble as error:
        print("patch_nixl: error: %s." % str(error).rstrip("."), file=sys.stderr)
    except OSError as error:
        print("patch_nixl: error: %s: %s." % (error.filename or arguments.src, error.strerror), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
