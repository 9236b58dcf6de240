# SPDX-License-Identifier: Apache-2.0
"""Pages and completion name every option that the programs have."""

import re
import shutil
import subprocess

import pytest

from tool import PROGRAM, make_tool  # noqa: F401
from agent import PROGRAM as AGENT
from agent import ROOT

COMMANDS = ["push", "pull", "query", "remove", "stats", "ping", "bench"]


def options_of(*command):
    text = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    return set(re.findall(r"^ +(?:-\w, )?--((?:\[no-\])?[a-z][a-z-]*)", text, re.MULTILINE))


def options_of_page(name):
    text = (ROOT / "docs" / "man" / name).read_text()
    return set(re.findall(r"^\.It .*Fl -((?:\[no-\])?[a-z][a-z-]*)", text, re.MULTILINE))


def test_the_pages_name_the_options_and_no_others():
    mine = set().union(*(options_of(PROGRAM, command) for command in COMMANDS), options_of(PROGRAM))
    # The page explains --key-hex in its text.
    assert options_of_page("bluecache.1") == mine - {"key-hex"}
    assert "Fl -key-hex" in (ROOT / "docs" / "man" / "bluecache.1").read_text()
    assert options_of_page("dpu_dma_copy.8") == options_of(AGENT)


def complete(*words):
    script = ROOT / "packaging" / "completion" / "bluecache.bash"
    code = ('source "$0"; COMP_WORDS=(bluecache "$@"); COMP_CWORD=$#; _bluecache 2>/dev/null; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    return set(subprocess.run(["bash", "-c", code, str(script), *words], check=True, capture_output=True, text=True,
                              timeout=60, cwd=ROOT).stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_completion_names_the_options(command):
    assert {word[2:] for word in complete(command, "--")} == options_of(PROGRAM, command)
    zsh = (ROOT / "packaging" / "completion" / "_bluecache").read_text()
    for option in options_of(PROGRAM, command):
        assert "--" + option in zsh


def test_completion_knows_where_it_is():
    assert complete("p") == {"push", "pull", "ping"}
    assert complete("-d", "127.0.0.1", ":", "18517", "st") == {"stats"}
    assert complete("bench", "--memory", "") == {"shared", "malloc"}
    assert complete("bench", "--op", "=", "b") == {"both"}
    assert "README.md" in complete("push", "-x", "00", "READ")
    assert complete("push", "READ") == set()
    assert complete("query", "READ") == set()


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
@pytest.mark.parametrize("page", ["bluecache.1", "dpu_dma_copy.8"])
def test_the_pages_are_well_formed(page):
    done = subprocess.run(["groff", "-mandoc", "-Tutf8", "-P-cbou", "-ww", str(ROOT / "docs" / "man" / page)],
                          capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stderr == b"" and b"EXAMPLES" in done.stdout


def section(title):
    """Of operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text()
    return re.search(r"^## %s$(.*?)(?=^## |\Z)" % re.escape(title), text, re.MULTILINE | re.DOTALL).group(1)


@pytest.mark.parametrize("backend", ["dram", "posix"])
def test_every_metric_is_explained(make_tool, backend):
    explained = {}
    modules = []
    for line in section("Metrics").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3:
            modules = re.findall(r"`(\w+)`", cells[0]) or modules
            for module in modules:
                explained.setdefault(module, set()).update(re.findall(r"`(\w+)`", cells[1]))
    found = {}
    for name in make_tool(backend=backend).json("stats")["metrics"]:
        module, noun = name.removeprefix("bluecache_").split("_", 1)
        found.setdefault(module, set()).add(noun)
    assert found == {module: nouns for module, nouns in explained.items() if module in found}
    assert backend in found


def test_every_status_is_explained():
    header = (ROOT / "common" / "bluecache" / "status.h").read_text()
    names = {name.lower() for name in re.findall(r"^ +BC_STATUS_(\w+) = \d+,", header, re.MULTILINE)}
    assert len(names) > 20
    assert set(re.findall(r"^\| `(\w+)` \|", section("Statuses, and what to do"), re.MULTILINE)) == names
