# SPDX-License-Identifier: Apache-2.0
"""Changes several files and one folder of a tree, all of them or none.

The new contents are written beside the old ones first, in a work folder in the tree's root. A journal there says
that the change has begun; every file is then replaced by renaming, and the journal goes last. Whoever finds a journal
takes the change back (recover), so a run that was killed leaves nothing half done once the next one has looked.
"""

import hashlib
import json
import os
import shutil
from typing import Any, Dict, Optional

WORK = ".bluecache-patch"
JOURNAL = "journal.json"


class Trouble(Exception):
    """The tree cannot be changed; the message says why, and what to do."""


def step(what: str) -> None:
    """Called before every change to the disk; tests interrupt a run here."""


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _like(path: str, model: str) -> None:
    """Gives path the owner that model has: a run by root leaves no file that the tree's owner cannot change."""
    if os.geteuid() == 0:
        there = os.stat(model)
        os.chown(path, there.st_uid, there.st_gid, follow_symlinks=False)


def _write(path: str, data: bytes, model: str) -> None:
    step("write")
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if os.path.isfile(model):
        shutil.copymode(model, path)
    _like(path, model)


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename(source: str, target: str) -> None:
    step("rename")
    os.replace(source, target)
    _sync(os.path.dirname(target))


def _remove(path: str) -> None:
    step("remove")
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _write_folder(path: str, files: Dict[str, bytes], model: str) -> None:
    os.mkdir(path)
    _like(path, model)
    for place, data in sorted(files.items()):
        parent = path
        for part in place.split("/")[:-1]:
            parent = os.path.join(parent, part)
            if not os.path.isdir(parent):
                os.mkdir(parent)
                _like(parent, model)
        target = os.path.join(path, place)
        step("copy")
        with open(target, "wb") as file:
            file.write(data)
        _like(target, model)


def _prepare(root: str, texts: Dict[str, bytes], folder: str, files: Optional[Dict[str, bytes]]) -> None:
    """Everything that the change needs, in the work folder; the journal last."""
    work = os.path.join(root, WORK)
    _remove(work)
    os.mkdir(work)
    _like(work, root)
    journal: Dict[str, Any] = {"folder": folder, "had_folder": os.path.isdir(os.path.join(root, folder)), "files": []}
    for index, (path, data) in enumerate(sorted(texts.items())):
        there = os.path.join(root, path)
        with open(there, "rb") as file:
            _write(os.path.join(work, "old%d" % index), file.read(), there)
        _write(os.path.join(work, "new%d" % index), data, there)
        journal["files"].append({"path": path, "old": _digest(there), "new": hashlib.sha256(data).hexdigest()})
    if files is not None:
        _write_folder(os.path.join(work, "new"), files, os.path.dirname(os.path.join(root, folder)))
    _write(os.path.join(work, "journal"), json.dumps(journal).encode(), root)
    _rename(os.path.join(work, "journal"), os.path.join(work, JOURNAL))


def _finish(root: str) -> None:
    work = os.path.join(root, WORK)
    _remove(os.path.join(work, JOURNAL))
    _sync(work)
    _remove(work)


def change(root: str, texts: Dict[str, bytes], folder: str, files: Optional[Dict[str, bytes]]) -> None:
    """Gives the files of texts their new contents, and the folder the given files; None takes the folder away.

    Either all of that is done on return, or there was an exception and nothing is.
    """
    work = os.path.join(root, WORK)
    place = os.path.join(root, folder)
    try:
        _prepare(root, texts, folder, files)
        if os.path.isdir(place):
            _rename(place, os.path.join(work, "old"))
        if files is not None:
            _rename(os.path.join(work, "new"), place)
        for index, path in enumerate(sorted(texts)):
            _rename(os.path.join(work, "new%d" % index), os.path.join(root, path))
        _finish(root)
    except BaseException:
        recover(root)
        raise


def interrupted(root: str) -> bool:
    """Whether an earlier run left a change that was begun and not ended."""
    return os.path.exists(os.path.join(root, WORK, JOURNAL))


def recover(root: str) -> bool:
    """Takes back what an interrupted run has done. Says whether there was such a run."""
    work = os.path.join(root, WORK)
    if not interrupted(root):
        _remove(work)
        return False
    with open(os.path.join(work, JOURNAL), encoding="utf-8") as file:
        journal = json.load(file)
    for entry in journal["files"]:
        if _digest(os.path.join(root, entry["path"])) not in (entry["old"], entry["new"]):
            raise Trouble("an earlier run was interrupted, and %s was changed since; the files as they were before lie in "
                          "%s: put them back by hand, then remove that folder" % (entry["path"], work))
    for index, entry in enumerate(journal["files"]):
        there = os.path.join(root, entry["path"])
        if _digest(there) != entry["old"]:
            old = os.path.join(work, "old%d" % index)
            with open(old, "rb") as file:
                _write(os.path.join(work, "back"), file.read(), old)
            _rename(os.path.join(work, "back"), there)
    place = os.path.join(root, journal["folder"])
    old = os.path.join(work, "old")
    if os.path.isdir(old) or not journal["had_folder"]:
        _remove(place)
    if os.path.isdir(old):
        _rename(old, place)
    _finish(root)
    return True
