# SPDX-License-Identifier: Apache-2.0
"""patch_lmcache.sh: what it does to a package, and what it leaves behind when it is stopped in the middle."""

import filecmp
import os
import pathlib
import py_compile
import shutil
import signal
import stat
import subprocess
import sys

import pytest
from conftest import LMCACHE_VERSION, PATCH_SCRIPT, copy_lmcache

PATCHED = ["v1/storage_backend/nixl_transfers.py", "v1/storage_backend/nixl_backends.py",
           "v1/storage_backend/nixl_storage_backend.py", "v1/storage_backend/storage_manager.py", "v1/cache_engine.py"]
ADDED = PATCHED[:2]
only_043 = pytest.mark.lmcache("0.4.3")


def run(*arguments, path=None, **options):
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = "%s:%s" % (path, environment["PATH"])
    return subprocess.run([PATCH_SCRIPT, *map(str, arguments)], env=environment, capture_output=True, text=True,
                          timeout=60, **options)


def check(package):
    return run("--check", package).returncode


def contents(package):
    return {name: (package / name).read_bytes() for name in PATCHED if (package / name).exists()}


def leftovers(package):
    return [path.name for path in package.glob(".bluecache*")]


@pytest.fixture
def package(tmp_path):
    return copy_lmcache(tmp_path / "site")


@only_043
def test_patch_and_back(package):
    before = contents(package)
    assert check(package) == 1
    done = run(package)
    assert done.returncode == 0 and "patched" in done.stdout, done
    assert check(package) == 0
    assert set(contents(package)) == set(PATCHED)
    after = contents(package)
    again = run(package)
    assert again.returncode == 0 and "already" in again.stdout
    assert contents(package) == after
    back = run("--revert", package)
    assert back.returncode == 0 and "taken back" in back.stdout
    assert check(package) == 1
    assert contents(package) == before
    assert run("--revert", package).returncode == 0
    assert leftovers(package) == []


@only_043
def test_nothing_else_is_touched(tmp_path, package):
    other = copy_lmcache(tmp_path / "other")
    assert run(package).returncode == 0

    def differences(compared):
        yield from compared.left_only + compared.right_only + compared.diff_files
        for inner in compared.subdirs.values():
            yield from differences(inner)

    found = set(differences(filecmp.dircmp(other, package)))
    assert found == {pathlib.Path(name).name for name in PATCHED}
    for name in PATCHED:
        mode = stat.S_IMODE((package / name).stat().st_mode)
        assert mode == stat.S_IMODE((package / "_version.py").stat().st_mode)


@only_043
def test_package_is_found_by_path_and_by_interpreter(tmp_path, package):
    assert run("--check", package.parent).returncode == 1
    assert run("--check", package.parent).stdout.strip().endswith(str(package))
    # An interpreter whose path begins with the copy; it stands in the folder of another lmcache, which is not meant.
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nPYTHONPATH=%s exec %s "$@"\n' % (package.parent, sys.executable))
    python.chmod(0o755)
    (tmp_path / "checkout" / "lmcache").mkdir(parents=True)
    found = run("--check", "--python", python, cwd=tmp_path / "checkout")
    assert found.returncode == 1 and str(package) in found.stdout, found


def test_what_is_not_there_is_said(tmp_path):
    for arguments, word in ((["--check", tmp_path], "no LMCache package"),
                            (["--check", "--python", tmp_path / "nothing"], "there is no"),
                            (["--check", "--python", "/bin/false"], "cannot be asked")):
        done = run(*arguments)
        assert done.returncode == 2 and word in done.stderr, done
    for arguments in (["--patch"], ["--check", "--revert"], ["a", "b"], ["--python"]):
        done = run(*arguments)
        assert done.returncode == 2 and "usage" in done.stderr
    assert "usage" in run("--help").stdout


@pytest.mark.lmcache("0.5.6")
def test_another_release_is_refused(package):
    before = {path: path.read_bytes() for path in package.rglob("*.py")}
    for options in ((), ("--revert",), ("--check",)):
        done = run(*options, package)
        assert done.returncode == 2 and LMCACHE_VERSION in done.stderr and "0.4.3" in done.stderr
    assert before == {path: path.read_bytes() for path in package.rglob("*.py")}


@only_043
@pytest.mark.parametrize("name", PATCHED[2:])
@pytest.mark.parametrize("patched", [False, True])
def test_modified_file_is_refused_and_nothing_changes(package, name, patched):
    if patched:
        assert run(package).returncode == 0
    path = package / name
    lines = path.read_text().splitlines(keepends=True)
    marks = {"nixl_storage_backend.py": "device_id = ", "storage_manager.py": "allocated_objects.append(memory_obj)",
             "cache_engine.py": "last_failed_block_start = start"}
    changed = [line.replace("\n", "  # mine\n") if marks[path.name] in line else line for line in lines]
    assert changed != lines
    path.write_text("".join(changed))
    before = contents(package)
    for options in ((), ("--revert",), ("--check",)):
        done = run(*options, package)
        assert done.returncode == 2 and name in done.stderr, done
    assert contents(package) == before
    assert leftovers(package) == []


@only_043
@pytest.mark.parametrize("name", ADDED)
def test_file_of_that_name_is_refused(package, name):
    (package / name).write_text("mine = True\n")
    assert run(package).returncode == 2 and check(package) == 2
    assert (package / name).read_text() == "mine = True\n"
    assert not (package / (set(ADDED) - {name}).pop()).exists()


def stub(folder, name, text):
    """A command that stands before the real one."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return folder


def counted(folder, name, number, then):
    """The command does what it does, but its number-th call does this."""
    real = shutil.which(name)
    return stub(folder, name, 'n=$(cat %s/n 2>/dev/null || echo 0); n=$((n + 1)); echo $n >%s/n\n'
                '[ $n -eq %d ] && { %s; }\nexec %s "$@"\n' % (folder, folder, number, then, real))


@only_043
@pytest.mark.parametrize("revert", [False, True], ids=["apply", "revert"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("way", ["killed", "refused"])
def test_stopped_between_two_files(tmp_path, package, way, number, revert):
    """What is there at any time can be imported, and the next run goes on."""
    original = contents(package)
    if revert:
        assert run(package).returncode == 0
    start = contents(package)
    then = "kill -9 $PPID; exit 1" if way == "killed" else "exit 1"
    if revert and number > 3:  # the files that were added are removed, after the others were moved
        stub(tmp_path / "bin", "rm", 'case "$*" in *%s) %s ;; esac\nexec %s "$@"\n' % (
            pathlib.Path(ADDED[5 - number]).name, then, shutil.which("rm")))
    else:
        counted(tmp_path / "bin", "mv", number, then)
    done = run(*(["--revert"] if revert else []), package, path=tmp_path / "bin")
    assert done.returncode == (-signal.SIGKILL if way == "killed" else 1), done
    now = contents(package)
    changed = sum(now.get(name) != start.get(name) for name in PATCHED)
    assert changed == number - 1
    if b"nixl_transfers" in now[PATCHED[2]]:
        assert set(ADDED) <= set(now), "a file that is used is not there"
    assert check(package) == (0 if revert and number == 1 else 1)
    assert run("--revert", package).returncode == 0
    assert contents(package) == original
    assert leftovers(package) == []
    assert run(package).returncode == 0 and check(package) == 0


@only_043
@pytest.mark.parametrize("command", ["mktemp -d", "cp", "cat"])
def test_disk_that_cannot_be_written(tmp_path, package, command):
    before = contents(package)
    name = command.split()[0]
    real = shutil.which(name)
    if name == "mktemp":
        stub(tmp_path / "bin", name, '[ $# -gt 1 ] && exit 1\nexec %s "$@"\n' % real)
    else:
        stub(tmp_path / "bin", name, "exit 1\n")
    done = run(package, path=tmp_path / "bin")
    assert done.returncode == 1 and "nothing was changed" in done.stderr, done
    assert contents(package) == before
    assert leftovers(package) == []


@only_043
def test_folder_that_is_read_only(tmp_path, package):
    before = contents(package)
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to be somebody else")
        for folder in (package, *package.parents):
            if folder.stat().st_uid == os.geteuid() and folder != pathlib.Path("/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(PATCH_SCRIPT), str(package)]
        reachable = subprocess.run([*command[:4], "test", "-x", str(PATCH_SCRIPT)], timeout=10).returncode == 0
        if not reachable:
            pytest.skip("the checkout lies where nobody else may look")
    else:
        (package / "v1" / "storage_backend").chmod(0o555)
        command = [str(PATCH_SCRIPT), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    (package / "v1" / "storage_backend").chmod(0o755)
    assert done.returncode == 1 and "not writable; nothing was changed" in done.stderr, done
    assert contents(package) == before


@only_043
def test_compiled_files_of_before_are_gone(package):
    name = PATCHED[3]
    compiled = pathlib.Path(py_compile.compile(str(package / name), doraise=True))
    assert run(package).returncode == 0
    assert not compiled.exists()


@only_043
def test_two_at_once(package):
    runs = [subprocess.Popen([PATCH_SCRIPT, str(package)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0, 0], said
    assert sum("already" in text for text in said) == 2
    assert check(package) == 0
