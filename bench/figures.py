# SPDX-License-Identifier: Apache-2.0
"""What the programs that draw have in common: their arguments, and how a figure is written."""

import json
import sys


def arguments(doc, reports_max=1):
    """(reports, path of the figure) of a command line REPORT.json... FIGURE. Ends with the usage, which is the second
    paragraph of doc, and exit status 2 when it is another one."""
    words = sys.argv[1:]
    if not 2 <= len(words) <= reports_max + 1 or words[0].startswith("-"):
        print(doc.split("\n\n")[1], file=sys.stderr)
        sys.exit(2)
    reports = []
    for path in words[:-1]:
        with open(path, encoding="utf-8") as file:
            reports.append(json.load(file))
    return reports, words[-1]


def save(figure, path, **options):
    """The same report gives the same SVG, to the byte."""
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None, **options)
