#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the series of a report of bench/run.py: throughput against size, one panel for each direction.

usage: bench/plot.py REPORT.json FIGURE.svg

Needs matplotlib (scripts/setup.sh --bench). Exit status: 0 drawn, 1 the report has no series, 2 usage."""

import sys

import figures

KIB, MIB = 1 << 10, 1 << 20
# Name in the report -> colour (they differ in lightness too), marker, line.
STYLES = {
    "BlueCache": ("#0b3d91", "o", "-"),
    "memcpy": ("#777777", "s", "--"),
    "memcached": ("#c0392b", "^", "-."),
    "NIXL POSIX": ("#e69f00", "D", ":"),
}
LABELS = {
    "BlueCache": "BlueCache, dram",
    "memcpy": "memcpy, one thread",
    "memcached": "memcached, Unix socket",
    "NIXL POSIX": "NIXL POSIX, O_DIRECT files",
}
TITLES = {"push": "push (set, write)", "pull": "pull (get, read)"}


def size_text(size):
    return "%d MiB" % (size // MIB) if size >= MIB else "%d KiB" % (size // KIB)


def draw_panel(axes, series, op):
    for name, (colour, marker, line) in STYLES.items():
        points = sorted((point for point in series if point["name"] == name and point["op"] == op),
                        key=lambda point: point["size"])
        if not points:
            continue
        sizes = [point["size"] for point in points]
        axes.fill_between(sizes, [point["low"] for point in points], [point["high"] for point in points],
                          color=colour, alpha=0.12, linewidth=0)
        axes.plot(sizes, [point["median"] for point in points], color=colour, marker=marker, linestyle=line,
                  markersize=5, label=LABELS[name])
    sizes = sorted({point["size"] for point in series})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [size_text(size) for size in sizes], rotation=30)
    axes.minorticks_off()
    axes.set_xlabel("size of an object (log scale)")
    axes.set_title(TITLES[op], fontsize=11)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def draw(report, path):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "bluecache"  # the same report makes the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, sharey=True, figsize=(10, 4.9))
    for axes, op in zip(panels, ("push", "pull")):
        draw_panel(axes, report["series"], op)
    panels[0].set_ylim(bottom=0)  # of both, when both are drawn
    panels[0].set_ylabel("throughput, GB/s")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.suptitle("Throughput against object size; DOCA emulated in software, so only trends and ratios count",
                    fontsize=11, y=0.985)
    figure.legend(handles, labels, loc="upper center", ncol=4, frameon=False, bbox_to_anchor=(0.5, 0.95), fontsize=9)
    figure.text(0.5, 0.012, "median of %d rounds, band: all rounds; one request of up to 64 MiB at a time; "
                "%d processors, one run" % (report["settings"]["pairs"], report["machine"]["cores"]),
                ha="center", fontsize=8, color="#555555")
    figure.subplots_adjust(left=0.07, right=0.985, top=0.82, bottom=0.22, wspace=0.06)
    figures.save(figure, path)


def main():
    (report,), path = figures.arguments(__doc__)
    if not report.get("series"):
        print("%s has no series: run bench/run.py with the part sizes" % sys.argv[1], file=sys.stderr)
        return 1
    draw(report, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
