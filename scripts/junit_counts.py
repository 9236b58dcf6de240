#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "tests failures skipped" of a test report in JUnit's format, as CTest and pytest write it.

usage: scripts/junit_counts.py FILE

Errors count as failures, disabled tests as skipped. Exit status: 1 if FILE is no such report.
"""

import sys
import xml.etree.ElementTree as ElementTree


def counts(path):
    tests = failures = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        tests += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failures += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
    return tests, failures, skipped


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if sys.argv[-1] in ("-h", "--help") else 2
    try:
        print(*counts(sys.argv[1]))
    except (OSError, ElementTree.ParseError) as error:
        print("%s: %s" % (sys.argv[1], error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
