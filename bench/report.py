# SPDX-License-Identifier: Apache-2.0
"""Rows, and how they are printed. A row is BlueCache beside something else, sample by sample: the ratio of a row
is the median of the ratios of its pairs, since only neighbours in time saw the same machine."""

import statistics

NOTE = ("These are ratios between neighbours in time on one machine; the columns in GB/s, us and ms are there to see "
        "what was divided by what. DOCA is emulated in software here: none of this tells the speed of a BlueField, "
        "and no absolute number holds for another machine or another day.")
PAIRS_MIN = 5


def make_row(part, what, against, unit, ours, theirs, better, aim=None, *, subject="BlueCache", note=None):
    """ours, theirs: numbers in `unit`, pair by pair. aim: (what it is about: ratio or value, relation, number).
    subject: what is measured, when it is not BlueCache. note: what a reader must know of this row."""
    ratios = [one / other for one, other in zip(ours, theirs)]
    row = {
        "part": part,
        "what": what,
        "against": against,
        "unit": unit,
        "better": better,
        "pairs": len(ratios),
        "bluecache": statistics.median(ours),
        "peer": statistics.median(theirs),
        "ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)},
        "aim": None,
        "subject": subject,
        "note": note,
        "rounds": {"bluecache": ours, "peer": theirs},
    }
    if aim is not None:
        about, relation, number = aim
        value = row["ratio"]["median"] if about == "ratio" else row["bluecache"]
        row["aim"] = {"about": about, "relation": relation, "number": number,
                      "met": value >= number if relation == ">=" else value <= number}
    return row


def _number(value):
    return "%.2f" % value if value < 10 else "%.1f" % value if value < 100 else "%.0f" % value


def _cells(row):
    ratio, aim = row["ratio"], row["aim"]
    text = ""
    if aim is not None:
        text = "%s %g%s: %s" % (aim["relation"], aim["number"], "" if aim["about"] == "ratio" else " " + row["unit"],
                                "met" if aim["met"] else "not met")
    return (row["what"], row["against"], "%s %s" % (_number(row["bluecache"]), row["unit"]),
            "%s %s" % (_number(row["peer"]), row["unit"]),
            "%.2f (%.2f to %.2f)" % (ratio["median"], ratio["low"], ratio["high"]), text)


HEAD = ("what", "against", "BlueCache", "the other", "ratio (of all pairs)", "aim")


def rounds(rows):
    """Lines: minimum, median and maximum of the rounds, once for each of those that were measured."""
    known = {}
    for row in rows:
        for who, key in ((row["subject"], "bluecache"), (row["against"], "peer")):
            known.setdefault((row["part"], row["what"], who, row["unit"]), row["rounds"][key])
    return ["%s: %s: %s: min %s, median %s, max %s %s"
            % (part, what, who, _number(min(values)), _number(statistics.median(values)), _number(max(values)), unit)
            for (part, what, who, unit), values in known.items()]


def notes(rows):
    """Lines, a note once for the rows that share it."""
    known = {}
    for row in rows:
        if row["note"] is not None:
            known.setdefault((row["part"], row["note"]), []).append("%s against %s" % (row["what"], row["against"]))
    return ["note: %s, %s: %s" % (part, "; ".join(whats) if len(whats) < 4 else "%d rows" % len(whats), note)
            for (part, note), whats in known.items()]


def summary(rows):
    aims = [row["aim"]["met"] for row in rows if row["aim"] is not None]
    return "aims: %d of %d met" % (sum(aims), len(aims))


def table(rows):
    """Lines; a blank one and a title between parts."""
    cells = [HEAD] + [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]

    def line(values):
        left = ["%-*s" % (widths[i], values[i]) for i in (0, 1)]
        right = ["%*s" % (widths[i], values[i]) for i in (2, 3, 4)]
        return "  ".join(left + right + [values[5]]).rstrip()

    lines, part = [line(HEAD)], None
    for row, values in zip(rows, cells[1:]):
        if row["part"] != part:
            part = row["part"]
            lines += ["", part + ":"]
        lines.append(line(values))
    return lines


def machine_lines(known):
    return [
        "machine   %d cores, %s%s, last level cache %s, %d MiB memory (%d MiB free)"
        % (known["cores"], known["processor"], " (virtual)" if known["virtual"] else "", known["last_level_cache"],
           known["memory_mib"], known["memory_available_mib"]),
        "          kernel %s; 2 MiB pages: %d reserved, %d free; transparent: %s, for shared memory: %s; files on %s"
        % (known["kernel"], known["huge_pages_total"], known["huge_pages_free"], known["transparent_huge_pages"],
           known["transparent_huge_pages_shared"], known["file_system"]),
        "          load average at the start: %s" % " ".join("%.2f" % value for value in known["load_at_start"]),
    ]
