#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints reports of bench/run.py as the tables of docs/benchmarks.md; a run may have been made in pieces.

usage: bench/tables.py [--aims] REPORT.json...

Rows with an aim come first in their part; --aims leaves out the others. Exit status: 0, or 2 for usage."""

import json
import sys

HEAD = "| work | against | BlueCache | the other | ratio (all pairs) | aim |\n|---|---|---|---|---|---|"


def number(value):
    return "%.2f" % value if value < 10 else "%.1f" % value if value < 100 else "%.0f" % value


def aim_of(row):
    aim = row["aim"]
    if aim is None:
        return ""
    sign = {">=": "≥", "<=": "≤"}[aim["relation"]]
    unit = "" if aim["about"] == "ratio" else " " + row["unit"]
    return "%s %g%s, %s" % (sign, aim["number"], unit, "met" if aim["met"] else "not met")


def line_of(row):
    ratio = row["ratio"]
    text = "%.2f (%.2f–%.2f)" % (ratio["median"], ratio["low"], ratio["high"])
    if row["aim"] is not None and row["aim"]["about"] == "ratio":
        text = "**%.2f**%s" % (ratio["median"], text[text.index(" "):])
    return "| %s | %s | %s %s | %s %s | %s | %s |" % (row["what"], row["against"], number(row["bluecache"]), row["unit"],
                                                     number(row["peer"]), row["unit"], text, aim_of(row))


def main():
    aims_only = sys.argv[1:2] == ["--aims"]
    paths = sys.argv[1 + aims_only:]
    if not paths or paths[0].startswith("-"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    rows = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            rows += [row for row in json.load(file)["rows"] if row["aim"] is not None or not aims_only]
    parts = list(dict.fromkeys(row["part"] for row in rows))
    for part in parts:
        own = sorted((row for row in rows if row["part"] == part), key=lambda row: row["aim"] is None)
        print("%s\n\n%s" % (part, HEAD))
        print("\n".join(line_of(row) for row in own) + "\n")
    aims = [row["aim"]["met"] for row in rows if row["aim"] is not None]
    print("%d of %d aims met" % (sum(aims), len(aims)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
