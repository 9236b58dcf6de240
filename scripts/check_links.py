#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports links in Markdown that lead nowhere inside this repository.

usage: scripts/check_links.py

Looks at every Markdown file: [text](target), ![text](target) and [name]: target. A relative target has to be a
file or a folder; a #fragment behind a Markdown file has to be one of its headings, #L12 behind any other file one
of its lines. Addresses with a scheme (https:, mailto:) are not followed, and nothing inside code is looked at.
Exit status: 0 every link leads somewhere, 1 some do not.
"""

import os
import re
import sys
import urllib.parse

import source_files

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
INLINE = re.compile(r"\]\(\s*<?([^()\s<>]+)>?(?:\s+\"[^\"]*\")?\s*\)")  # the text before may be on another line
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?([^\s<>]+)>?")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(text):
    """Yields (line number, line) of what is not code; `code spans` become blanks of the same length."""
    fence = None
    for number, line in enumerate(text.split("\n"), 1):
        match = FENCE.match(line)
        if fence is None and match:
            fence = match.group(1)
        elif fence is not None:
            if match and match.group(1).startswith(fence):
                fence = None
        else:
            yield number, re.sub(r"(`+)(?:(?!\1).)*\1", lambda m: " " * len(m.group(0)), line)


def anchors(path):
    """The fragments that a Markdown file's headings make: lower case, blanks as dashes, no punctuation."""
    found = set()
    text = source_files.read(path)
    inside = set(number for number, _ in prose(text))
    for number, line in enumerate(text.split("\n"), 1):
        match = HEADING.match(line)
        if number not in inside or not match:
            continue
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(2))
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = 0
        while (slug if count == 0 else "%s-%d" % (slug, count)) in found:
            count += 1
        found.add(slug if count == 0 else "%s-%d" % (slug, count))
    return found


def fragment_problem(path, fragment):
    """What is wrong with a #fragment of a file that exists; None: nothing."""
    if path.endswith(".md"):
        return None if fragment in anchors(path) else "has no heading #%s" % fragment
    match = re.fullmatch(r"L(\d+)", fragment)
    if match and int(match.group(1)) <= source_files.read(path).count("\n") + 1:
        return None
    return "has no #%s" % fragment


def problem_of(page, target):
    """What is wrong with a link on a page; None: nothing, or not ours to tell."""
    if SCHEME.match(target) or target.startswith("//"):
        return None
    target = urllib.parse.unquote(target)
    name, _, fragment = target.partition("#")
    if name.startswith("/"):
        return "is not relative"
    path = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
    if path.startswith(".."):
        return "leads out of the repository"
    if not os.path.exists(os.path.join(source_files.ROOT, path)):
        return "does not exist"
    if fragment and not os.path.isfile(os.path.join(source_files.ROOT, path)):
        return "is no file"
    return fragment_problem(path, fragment) if fragment else None


def main():
    if len(sys.argv) > 1:
        print(__doc__.strip())
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    links = 0
    problems = 0
    pages = source_files.select([".md"])
    for page in pages:
        for number, line in prose(source_files.read(page)):
            for target in INLINE.findall(line) + REFERENCE.findall(line):
                links += 1
                problem = problem_of(page, target)
                if problem is not None:
                    print("%s:%d: %s %s" % (page, number, target, problem))
                    problems += 1
    print("links: %d files, %d links, %d problems" % (len(pages), links, problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
