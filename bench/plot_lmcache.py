#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws reports of bench/run.py --only lmcache: throughput and processor time of every backend.

usage: bench/plot_lmcache.py REPORT.json... FIGURE.svg

Needs matplotlib (scripts/setup.sh --bench). Exit status: 0 drawn, 1 the reports have no such rows, 2 usage."""

import re
import statistics
import sys

import figures

ORDER = ("BlueCache, plugin", "BlueCache, patch", "LMCache local_disk", "NIXL POSIX static",
         "NIXL POSIX static, O_DIRECT", "NIXL POSIX dynamic", "NIXL POSIX dynamic, O_DIRECT", "Redis", "Redis, resp")
SIZES = ("4 MiB", "256 KiB")
COLUMNS = (("lmcache disk", "", "on disk, GB/s", "linear"), ("lmcache memory", "", "in memory, GB/s", "linear"),
           ("lmcache cpu", "posix", "disk, host CPU, ms/GiB (log)", "log"))
OURS, OTHERS = {"put": "#0b3d91", "get": "#6f9be8"}, {"put": "#666666", "get": "#bbbbbb"}
WHAT = re.compile(r"(?:host, )?(put|get) (\d+) x ([^,]+), (\w+), (\w+)")


def collect(rows):
    """(part, store, size) -> party -> op -> (median, low, high) of its rounds; and how many objects of each size."""
    values, counts = {}, {}
    for row in rows:
        found = WHAT.fullmatch(row["what"])
        if row["part"] not in {column[0] for column in COLUMNS} or not found:
            continue
        op, count, size, store, route = found.groups()
        counts[size] = count
        panel = values.setdefault((row["part"], store, size), {})
        for name, key in (("BlueCache, " + route, "bluecache"), (row["against"], "peer")):
            some = row["rounds"][key]
            panel.setdefault(name, {})[op] = (statistics.median(some), min(some), max(some))
    return values, counts


def panel_of(values, part, store, size):
    return next((panel for (its, kept, measured), panel in values.items()
                 if its == part and measured == size and store in ("", kept)), {})


def draw_panel(axes, panel, scale):
    names = [name for name in reversed(ORDER) if name in panel]
    for place, name in enumerate(names):
        colours = OURS if name.startswith("BlueCache") else OTHERS
        for op, shift in (("put", 0.2), ("get", -0.2)):
            if op not in panel[name]:
                continue
            value, low, high = panel[name][op]
            axes.barh(place + shift, value, height=0.36, color=colours[op])
            axes.plot([low, high], [place + shift] * 2, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xscale(scale)
    axes.set_xlim(left=0 if scale == "linear" else 1)
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def draw(reports, values, counts, path):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "bluecache"  # the same report makes the same file
    from matplotlib import patches, pyplot

    sizes = [size for size in SIZES if size in counts]
    figure, panels = pyplot.subplots(len(sizes), len(COLUMNS), figsize=(15, 0.9 + 3.4 * len(sizes)), squeeze=False)
    for line, size in zip(panels, sizes):
        for axes, (part, store, title, scale) in zip(line, COLUMNS):
            draw_panel(axes, panel_of(values, part, store, size), scale)
            axes.set_title("%s x %s, %s" % (counts[size], size, title), fontsize=10)
    legend = [patches.Patch(color=colours[op], label="%s, %s" % (who, op))
              for who, colours in (("BlueCache", OURS), ("the others", OTHERS)) for op in ("put", "get")]
    figure.suptitle("LMCache's storage backends; DOCA emulated in software, so only ratios count", fontsize=11, y=0.99)
    figure.legend(handles=legend, loc="upper center", ncol=4, frameon=False, bbox_to_anchor=(0.5, 0.97), fontsize=9)
    figure.text(0.5, 0.008, "median of %d rounds, line: all rounds; CPU time of the host's process without LMCache's "
                "own; %d processors" % (min(report["settings"]["pairs"] for report in reports),
                                   reports[0]["machine"]["cores"]), ha="center", fontsize=8, color="#555555")
    figure.subplots_adjust(left=0.135, right=0.985, top=0.88, bottom=0.075, wspace=0.66, hspace=0.28)
    figures.save(figure, path)


def main():
    reports, path = figures.arguments(__doc__, reports_max=sys.maxsize)
    values, counts = collect([row for report in reports for row in report["rows"]])
    if not values:
        print("no rows of the part lmcache: run bench/run.py --only lmcache", file=sys.stderr)
        return 1
    draw(reports, values, counts, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
