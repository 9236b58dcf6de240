# SPDX-License-Identifier: Apache-2.0
"""scripts/patch_nixl.sh on a small tree in NIXL's shape: what it puts there, that it takes all of it out again, what it
refuses, and that no failure or kill at any point leaves a tree half patched."""

import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "patch_nixl.sh"
SMALL_TREE = ROOT / "tests" / "nixl_tree"
FOLDER = "src/plugins/doca_dma_proxy"
EDITED = ["meson.build", "src/core/meson.build", "src/core/nixl_plugin_manager.cpp", "src/plugins/meson.build"]
BACKEND_HEADER = "src/api/cpp/backend/backend_plugin.h"

pytestmark = pytest.mark.once

sys.path.insert(0, str(ROOT / "scripts" / "nixl"))
import folder
import patch_tree
import transaction

# The same in every run, and made only once.
folder.contents = functools.lru_cache(maxsize=None)(folder.contents)


@pytest.fixture
def tree(tmp_path):
    """A copy in a folder whose name has a space in it."""
    root = tmp_path / "my nixl"
    shutil.copytree(SMALL_TREE, root)
    (root / BACKEND_HEADER).parent.mkdir(parents=True)
    (root / BACKEND_HEADER).write_text("// Only its presence counts here.\n")
    return root


def snapshot(root):
    """Everything below root: what it holds, its mode and its time."""
    found = {}
    for path in sorted(root.rglob("*")):
        there = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(there.st_mode) else b""
        found[str(path.relative_to(root))] = (there.st_mode, hashlib.sha256(data).hexdigest())
    return found


def times(root):
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def child(root, options, step):
    """The script in a process of its own, which calls step(what) before every change to the disk. Returns the status that
    wait gives, and what the script printed."""
    folder.contents()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.close(reader)
            transaction.step = step
            os.fsync = lambda handle: None  # the machine does not stop here
            with os.fdopen(writer, "w") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                status = patch_tree.main([str(root), *options])
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as file:
        output = file.read()
    _, status = os.waitpid(pid, 0)
    return status, output


def run(root, *options, status=0):
    """The script's output; it has to end with the given status."""
    ended, output = child(root, options, lambda what: None)
    assert os.WIFEXITED(ended) and os.WEXITSTATUS(ended) == status, output
    return output


def refused(root, *options):
    """The sentence with which the script refuses, and leaves all as it is."""
    before, then = snapshot(root), times(root)
    output = run(root, *options, status=2)
    assert snapshot(root) == before and times(root) == then
    assert output.startswith("patch_nixl: error: ") and output.endswith(".\n"), output
    return output


# --- what it does -------------------------------------------------------------------------------
def test_patch_then_revert_leaves_the_tree_as_it_was(tree):
    before = snapshot(tree)
    assert "not patched" in run(tree, "--check", status=1)
    assert "patched" in run(tree)
    changed = {path for path, state in snapshot(tree).items() if before.get(path) != state}
    assert changed - {FOLDER} - {path for path in changed if path.startswith(FOLDER + "/")} == set(EDITED)
    assert "up to date" in run(tree, "--check")
    assert "taken out" in run(tree, "--revert")
    assert snapshot(tree) == before
    assert "nothing to do" in run(tree, "--revert")


def test_second_run_changes_nothing(tree):
    run(tree)
    before, then = snapshot(tree), times(tree)
    assert "nothing to do" in run(tree)
    assert snapshot(tree) == before and times(tree) == then


def test_what_is_added(tree):
    run(tree)
    assert "all_plugins = ['UCX', 'POSIX', 'DOCA_DMA_PROXY']\n" in (tree / "meson.build").read_text()
    plugins = (tree / "src/plugins/meson.build").read_text()
    assert plugins.index("subdir('doca_dma_proxy')") < plugins.index("subdir('telemetry')")
    core = (tree / "src/core/meson.build").read_text()
    assert core.index("if 'DOCA_DMA_PROXY' in static_plugins") < core.index("nixl_lib = library(")
    manager = (tree / "src/core/nixl_plugin_manager.cpp").read_text()
    assert re.search(r"#ifdef STATIC_PLUGIN_DOCA_DMA_PROXY\n +NIXL_REGISTER_STATIC_PLUGIN\(Backend, DOCA_DMA_PROXY\)\n"
                     r"#endif\n", manager)


def test_list_of_plugins_over_several_lines(tree):
    text = (tree / "meson.build").read_text()
    several = text.replace("['UCX', 'POSIX']", "[\n    'UCX',\n    'POSIX',\n]")
    (tree / "meson.build").write_text(several)
    run(tree)
    assert "    'POSIX', 'DOCA_DMA_PROXY',\n]" in (tree / "meson.build").read_text()
    run(tree, "--revert")
    assert (tree / "meson.build").read_text() == several


@pytest.mark.parametrize("when", ["before", "after"])
def test_telemetry_commented_out(tree, when):
    """As users do whose telemetry exporters do not build."""
    def comment():
        path = tree / "src/plugins/meson.build"
        path.write_text(re.sub(r"(?m)^subdir\('telemetry'\)", "# subdir('telemetry')", path.read_text()))

    if when == "before":
        comment()
        before = snapshot(tree)
        run(tree)
    else:
        run(tree)
        comment()
    run(tree, "--check")
    assert "nothing to do" in run(tree)
    run(tree, "--revert")
    if when == "before":
        assert snapshot(tree) == before
    text = (tree / "src/plugins/meson.build").read_text()
    assert "# subdir('telemetry')" in text and "DOCA_DMA_PROXY" not in text


def test_changes_of_others_stay(tree):
    run(tree)
    for path in EDITED:
        comment = "// mine\n" if path.endswith(".cpp") else "# mine\n"
        (tree / path).write_text(comment + (tree / path).read_text() + comment)
    run(tree)
    run(tree, "--revert")
    for path in EDITED:
        comment = "// mine\n" if path.endswith(".cpp") else "# mine\n"
        assert (tree / path).read_text() == comment + (SMALL_TREE / path).read_text() + comment


def test_line_ends_of_another_system(tree):
    for path in EDITED:
        (tree / path).write_bytes((tree / path).read_bytes().replace(b"\n", b"\r\n"))
    before = snapshot(tree)
    run(tree)
    for path in EDITED:
        data = (tree / path).read_bytes()
        assert b"DOCA_DMA_PROXY" in data and data.count(b"\n") == data.count(b"\r\n")
    run(tree, "--check")
    run(tree, "--revert")
    assert snapshot(tree) == before


def test_other_releases_are_patched_with_a_note(tree):
    path = tree / "meson.build"
    path.write_text(path.read_text().replace("version: '1.1.0'", "version: '9.0.0'"))
    assert "not with 9.0.0" in run(tree)


def test_script_finds_its_way_from_any_folder(tree):
    done = subprocess.run([SCRIPT, tree.name], cwd=tree.parent, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0 and "patched" in done.stdout
    assert (tree / FOLDER / "meson.build").is_file()


def test_arguments():
    for options, status in ((["--help"], 0), ([], 2), (["/", "--check", "--revert"], 2), (["/", "--nonsense"], 2)):
        done = subprocess.run([SCRIPT, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == status and "usage: patch_nixl.sh" in done.stdout


# --- the folder ---------------------------------------------------------------------------------
def test_folder_is_complete(tree):
    """Every source and header of the rooms below the plugin is copied, but for those that are left out by name."""
    run(tree)
    missing = []
    for room in ("host", "common/base", "common/bluecache", "common/channel", "common/proto"):
        for path in sorted((ROOT / room).rglob("*.[ch]")):
            name = str(path.relative_to(ROOT))
            if name not in folder.LEFT_OUT and not (tree / FOLDER / name).is_file():
                missing.append(name)
    for path in [*(ROOT / "nixl-plugin").glob("*.cpp"), *(ROOT / "nixl-plugin").glob("*.[ch]")]:
        if not (tree / FOLDER / "plugin" / path.name).is_file():
            missing.append(str(path.relative_to(ROOT)))
    assert not missing, "not copied: name them in their CMakeLists.txt, or in LEFT_OUT of scripts/nixl/folder.py"
    assert all((ROOT / name).is_file() for name in folder.LEFT_OUT)


def test_folder_stands_alone(tree):
    """What a copied file includes in quotation marks is copied as well; every source is compiled, and none is a link."""
    run(tree)
    top = tree / FOLDER
    roots = [top / "plugin", top / "host/include", top / "common", top / "doca-emu/include", top]
    build = (top / "meson.build").read_text()
    assert "@" not in build
    for path in top.rglob("*"):
        assert not path.is_symlink()
        if path.suffix not in (".c", ".cpp", ".h"):
            continue
        text = path.read_text()
        assert str(ROOT) not in text
        for name in re.findall(r'(?m)^ *# *include "([^"]+)"', text):
            if name != "abi/nixl_abi.h":  # for builds without NIXL's headers
                assert any((root / name).is_file() for root in [path.parent, *roots]), (path, name)
        if path.suffix != ".h":
            assert "'%s'," % path.relative_to(top) in build, path
    assert all((top / name).is_file() for name in re.findall(r"(?m)^ +'([^']+\.(?:c|cpp))',$", build))


def test_emulation_that_is_copied_has_every_library(tree):
    assert {name.split("/")[0] for name in folder.emulation_sources()} == {"doca-emu"}
    assert {"doca-emu/src/dma.c", "doca-emu/src/pe.c", "doca-emu/src/mmap.c"} <= set(folder.emulation_sources())
    assert ("doca-comch" in folder.doca_modules()) == any("comch" in name for name in folder.library_sources())


def test_manifest_is_one_that_sha256sum_reads(tree):
    run(tree)
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", folder.MANIFEST], cwd=tree / FOLDER, check=True,
                   timeout=60)


def age(tree):
    """Makes the tree one that an older BlueCache has patched."""
    run(tree)
    copy = tree / FOLDER / "host" / "client.c"
    old = copy.read_bytes()
    copy.write_bytes(b"/* older */\n")
    manifest = tree / FOLDER / folder.MANIFEST
    manifest.write_text(manifest.read_text().replace(hashlib.sha256(old).hexdigest(),
                                                     hashlib.sha256(copy.read_bytes()).hexdigest()))
    core = tree / "src/core/meson.build"
    core.write_text(core.read_text().replace("if 'DOCA_DMA_PROXY' in static_plugins", "if false"))


def test_older_copies_are_brought_up_to_date(tree):
    run(tree)
    wanted = snapshot(tree)
    age(tree)
    assert "run again" in run(tree, "--check", status=1)
    assert "brought up to date" in run(tree)
    assert snapshot(tree) == wanted


# --- what it refuses ----------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["changed", "missing", "new"])
def test_copies_changed_by_hand_are_not_lost(tree, what):
    run(tree)
    place = tree / FOLDER / "host" / ("notes.c" if what == "new" else "client.c")
    if what == "missing":
        place.unlink()
    else:
        place.write_text("/* mine */\n")
    for options in ([], ["--check"], ["--revert"]):
        assert "host/" + place.name in refused(tree, *options)


def test_trees_of_others(tree, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is not a NIXL source tree" in refused(empty)
    assert "No such file" in run(tmp_path / "nothing", status=2)
    assert "Not a directory" in run(tree / "meson.build", status=2)
    (tree / BACKEND_HEADER).unlink()
    assert "has no " + BACKEND_HEADER in refused(tree)


@pytest.mark.parametrize("path, old, new", [
    ("meson.build", "project('nixl'", "project('other'"),
    ("meson.build", "all_plugins = [", "plugins = ["),
    ("meson.build", "all_plugins = ['UCX', 'POSIX']", "all_plugins = []"),
    ("meson.build", "'POSIX']", "'POSIX', \"DOCA_DMA_PROXY\", 'DOCA_DMA_PROXY', 'DOCA_DMA_PROXY']"),
    ("src/plugins/meson.build", "subdir('telemetry')\n", ""),
    ("src/plugins/meson.build", "subdir('telemetry')\n", "subdir('telemetry')\n" * 2),
    ("src/plugins/meson.build", "subdir('telemetry')\n", "# DOCA_DMA_PROXY\nsubdir('telemetry')\n"),
    ("src/plugins/meson.build", "enabled_plugins.get(", "wanted("),
    ("src/core/meson.build", "nixl_lib = library('nixl',", "library('nixl',"),
    ("src/core/meson.build", "nixl_lib_deps", "deps"),
    ("src/core/nixl_plugin_manager.cpp", "(Telemetry, BUFFER)", "(Telemetry, OTHER)"),
    ("src/core/nixl_plugin_manager.cpp", "(Backend, POSIX)", "(Other, POSIX)"),
])
def test_unknown_shapes(tree, path, old, new):
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new))
    assert str(tree / path) in refused(tree)


def test_folder_of_somebody_else(tree):
    (tree / FOLDER).mkdir()
    (tree / FOLDER / "meson.build").write_text("# theirs\n")
    for options in ([], ["--check"], ["--revert"]):
        assert "did not make it" in refused(tree, *options)


@pytest.mark.parametrize("part", [*EDITED, FOLDER])
def test_half_patched_trees(tree, part):
    """Refused, with the way out: --revert takes out what is there."""
    before = snapshot(tree)
    run(tree)
    if part == FOLDER:
        shutil.rmtree(tree / FOLDER)
    else:
        (tree / part).write_bytes((SMALL_TREE / part).read_bytes())
    for options in ([], ["--check"]):
        output = refused(tree, *options)
        assert "patched in part" in output and part + " missing" in output
    run(tree, "--revert")
    assert snapshot(tree) == before


def test_read_only_files_and_links(tree):
    path = tree / "src/core/meson.build"
    path.chmod(0o444)
    assert "is read-only" in refused(tree)
    path.unlink()
    path.symlink_to(SMALL_TREE / "src/core/meson.build")
    assert "is not a plain file" in refused(tree)
    assert "DOCA_DMA_PROXY" not in (SMALL_TREE / "src/core/meson.build").read_text()


def test_modes_are_kept(tree):
    (tree / "src/core/meson.build").chmod(0o664)
    run(tree)
    assert stat.S_IMODE((tree / "src/core/meson.build").stat().st_mode) == 0o664


def test_two_runs_at_a_time(tree):
    handle = os.open(tree, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert "another run" in refused(tree)
    os.close(handle)
    run(tree)


# --- failures and kills -------------------------------------------------------------------------
def points(tree, options):
    """Where to interrupt: every step, but of the many copies the first and the last only. The last of all is behind the end
    of the change, where only the work folder is left to remove."""
    trial = tree.parent / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(tree, trial, symlinks=True)
    _, output = child(trial, options, lambda what: print("step:", what))
    steps = re.findall(r"(?m)^step: (.*)", output)
    copies = [index for index, what in enumerate(steps) if what == "copy"]
    assert len(steps) >= 10
    return sorted([index for index, what in enumerate(steps) if what != "copy"] + copies[:1] + copies[-1:])


def acting(at, act):
    """A step() that calls act() the at-th time."""
    count = iter(range(1 << 30))
    return lambda what: act() if next(count) == at else None


def prepare(tree, what):
    """The options of a run that does this, its state before it and after it."""
    options = ["--revert"] if what == "revert" else []
    if what == "update":
        age(tree)
    elif what == "revert":
        run(tree)
    before = snapshot(tree)
    done = tree.parent / "done"
    shutil.copytree(tree, done, symlinks=True)
    run(done, *options)
    return options, before, snapshot(done)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def fail():
    raise OSError(28, "No space left on device", "somewhere")


@pytest.mark.parametrize("act", [fail, terminate], ids=["disk full", "SIGTERM"])
@pytest.mark.parametrize("what", ["patch", "update", "revert"])
def test_failed_run_leaves_the_tree_as_it_was(tree, what, act):
    options, before, after = prepare(tree, what)
    steps = points(tree, options)
    for at in steps:
        status, output = child(tree, options, acting(at, act))
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 2 and "patch_nixl: error: " in output, (at, output)
        assert snapshot(tree) == (after if at == steps[-1] else before), at
    run(tree, *options)
    assert snapshot(tree) == after


@pytest.mark.parametrize("what", ["patch", "update", "revert"])
def test_killed_run_is_taken_back_by_the_next(tree, what):
    options, before, after = prepare(tree, what)
    begun = 0
    for at in points(tree, options):
        place = tree.parent / ("killed %d" % at)
        shutil.copytree(tree, place, symlinks=True)
        status, _ = child(place, options, acting(at, kill))
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if transaction.interrupted(str(place)):
            begun += 1
            assert "was interrupted" in run(place, "--check", status=1)
        else:
            left = {path: state for path, state in snapshot(place).items() if not path.startswith(transaction.WORK)}
            assert left in (before, after)
        if what == "patch" and at % 2:
            run(place, "--revert")
            assert snapshot(place) == before
        else:
            run(place, *options)
            assert snapshot(place) == after
        shutil.rmtree(place)
    assert begun >= 4


def test_killed_run_whose_files_were_changed_since(tree):
    """Nothing is guessed: what was there before lies in the work folder."""
    last = [index for index in points(tree, []) if index][-3]
    child(tree, [], acting(last, kill))
    assert transaction.interrupted(str(tree))
    path = tree / "src/plugins/meson.build"
    path.write_text(path.read_text() + "# mine\n")
    assert "was changed since" in refused(tree)
