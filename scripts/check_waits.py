#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports what docs/internals/waits.md and docs/internals/failure-modes.md say and the tree does not bear out.

usage: scripts/check_waits.py

Tests. A table with a column "test" names, in every row, tests that exist: `tests/file.c: name`, or as much of the end
of the path as makes it plain; several names after one file are separated by commas, several files by semicolons. A row
that nothing can test begins that cell with "none:" and says why.
Names. In waits.md, `CONSTANTS` in a cell or a paragraph that links to source files stand in one of them, and so do
`functions` in a cell. An `--option` in a cell is the agent's, unless the cell begins with "its option". Somebody reads
each `BLUECACHE_...` and `DOCA_EMU_...`.
Exit status: 0 all is there, 1 something is not.
"""

import os
import re
import sys

import source_files

PAGES = ["docs/internals/waits.md", "docs/internals/failure-modes.md"]
CONSTANTS_PAGE = PAGES[0]
AGENT_OPTIONS = "dpu-agent/agent/options.c"

TEST_FILE = re.compile(r"(?P<file>[\w./-]+\.(?:cpp|c|py|sh)\b)(?:\]\([^)]*\)|[`\]])*"
                       r"(?::\s*`?(?P<names>\w+(?:,\s*`?\w+`?)*))?")
LINK = re.compile(r"\]\(([^)#\s]+\.(?:c|h|cpp|hpp))(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`]+)`")
CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
FUNCTION = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
OPTION = re.compile(r"--[a-z][a-z-]*")
ENVIRONMENT = ("BLUECACHE_", "DOCA_EMU_")


def tests_of(path):
    """Names of the tests in a file: functions that a runner is given."""
    text = source_files.read(path)
    if path.endswith(".py"):
        return set(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE))
    return set(re.findall(r"^(?:static )?void (\w+)\(void \*\*", text, re.MULTILINE))


def find_files(name, files):
    """Test files that a name may stand for: all of the path, or its end."""
    return [path for path in files if path == name or path.endswith("/" + name)]


def cells_of(line):
    """The cells of a table's row."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def rows_with_tests(text):
    """Yields (line number, test cell) of every row below a header with a column "test"."""
    column = None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.lstrip().startswith("|"):
            column = None
            continue
        cells = cells_of(line)
        names = [cell.split(" ")[0].lower() for cell in cells]
        if column is None:
            column = names.index("test") if "test" in names else -1
        elif column >= 0 and not re.fullmatch(r"[\s|:-]+", line):
            yield number, cells[column] if column < len(cells) else ""


def problems_of_cell(cell, files):
    """What is wrong with a cell that names tests."""
    if cell.lower().startswith("none:"):
        return [] if len(cell) > len("none: ") else ["says no reason"]
    found = list(TEST_FILE.finditer(cell))
    if not found:
        return ["names no test"]
    problems = []
    for match in found:
        paths = find_files(match.group("file"), files)
        if len(paths) != 1:
            problems.append("%s is %s" % (match.group("file"), "no test file" if not paths else "several files"))
            continue
        if match.group("names") is None:
            problems.append("no test of %s is named" % match.group("file"))
            continue
        there = tests_of(paths[0])
        problems += ["%s has no test %s" % (paths[0], name)
                     for name in re.findall(r"\w+", match.group("names")) if name not in there]
    return problems


def passages(text):
    """Yields (line number, text, whether it is a table's cell)."""
    begin, lines = 0, []
    for number, line in enumerate(text.split("\n") + [""], 1):
        is_row = line.lstrip().startswith("|")
        if lines and (is_row or not line.strip()):
            yield begin, "\n".join(lines), False
            lines = []
        if is_row:
            for cell in cells_of(line):
                yield number, cell, True
        elif line.strip():
            begin = begin if lines else number
            lines.append(line)


def problems_of_names(page, text, sources):
    """Constants, functions, options and environment variables that are not where the page says."""
    options = source_files.read(AGENT_OPTIONS)
    for number, part, is_cell in passages(text):
        links = [os.path.normpath(os.path.join(os.path.dirname(page), link)) for link in LINK.findall(part)]
        linked = "\n".join(sources.get(link, "") for link in links)
        for word in CODE.findall(part):
            if OPTION.fullmatch(word):
                if is_cell and not part.startswith("its option") and '"%s"' % word[2:] not in options:
                    yield number, "%s is no option of the agent" % word
            elif word.startswith(ENVIRONMENT):
                if not any(word in source for source in sources.values()):
                    yield number, "nothing knows %s" % word
            elif links and (CONSTANT.fullmatch(word) or (is_cell and FUNCTION.fullmatch(word))):
                if not re.search(r"\b%s\b" % word, linked):
                    yield number, "%s does not stand in %s" % (word, ", ".join(links))


def main():
    if len(sys.argv) > 1:
        print(__doc__.strip())
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    files = [path for path in source_files.select([".c", ".cpp", ".py"]) if path.startswith(("tests/", "bench/"))]
    sources = {path: source_files.read(path) for path in source_files.select([".c", ".h", ".cpp", ".hpp"])}
    problems, rows = 0, 0
    for page in PAGES:
        if not os.path.exists(os.path.join(source_files.ROOT, page)):
            continue
        text = source_files.read(page)
        found = []
        for number, cell in rows_with_tests(text):
            rows += 1
            found += [(number, problem) for problem in problems_of_cell(cell, files)]
        if page == CONSTANTS_PAGE:
            found += problems_of_names(page, text, sources)
        for number, problem in sorted(found):
            print("%s:%d: %s" % (page, number, problem))
        problems += len(found)
    print("waits: %d rows, %d problems" % (rows, problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
