#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what examples/lmcache/demo.py --lengths measured: seconds of prefill and of restore against the length.

usage: bench/plot_demo.py DEMO.json FIGURE.svg

Needs matplotlib (scripts/setup.sh --bench). Exit status: 0 drawn, 1 the report has no lengths, 2 usage."""

import statistics
import sys

import figures

PREFILL = ("#c0392b", "s", "-", "prefill: the model computes keys and values")
RESTORE = ("#0b3d91", "o", "-", "restore: LMCache brings them back from the agent's store")
TICKS_S = {0.01: "10 ms", 0.03: "30 ms", 0.1: "100 ms", 0.3: "300 ms", 1.0: "1 s", 3.0: "3 s", 10.0: "10 s"}


def draw_series(axes, points, field, style):
    colour, marker, line, label = style
    tokens = [point["tokens"] for point in points]
    middle = [statistics.median(point[field]) for point in points]
    axes.fill_between(tokens, [min(point[field]) for point in points], [max(point[field]) for point in points],
                      color=colour, alpha=0.12, linewidth=0)
    axes.plot(tokens, middle, color=colour, marker=marker, linestyle=line, markersize=5, label=label)
    return middle


def draw(report, path):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "bluecache"  # the same report makes the same file
    from matplotlib import pyplot

    points = sorted(report["lengths"], key=lambda point: point["tokens"])
    figure, axes = pyplot.subplots(figsize=(8, 4.9))
    prefill = draw_series(axes, points, "prefill_s", PREFILL)
    restore = draw_series(axes, points, "restore_s", RESTORE)
    for point, slow, quick in zip(points, prefill, restore):
        axes.annotate("%.0f x" % (slow / quick), (point["tokens"], (slow * quick) ** 0.5), ha="center", va="center",
                      fontsize=9, color="#555555")
    axes.set_xscale("log", base=2)
    axes.set_xticks([point["tokens"] for point in points],
                    ["%s\n%.1f MB" % (format(point["tokens"], ","), point["bytes"] / 1e6) for point in points])
    axes.set_yscale("log")
    everything = [value for point in points for field in ("prefill_s", "restore_s") for value in point[field]]
    low, high = min(everything) * 0.7, max(everything) * 2
    axes.set_yticks([tick for tick in TICKS_S if low <= tick <= high],
                    [text for tick, text in TICKS_S.items() if low <= tick <= high])
    axes.set_ylim(low, high)
    axes.minorticks_off()
    axes.set_xlabel("tokens of the document, and bytes of their keys and values (log scale)")
    axes.set_ylabel("time (log scale)")
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    model = report["model"]
    axes.set_title("%s (%s): computing a document, and restoring it in a new process" % (
        model["model"], model["dtype"]), fontsize=11)
    figure.text(0.5, 0.012, "median and range of %d runs; numbers between the lines: prefill / restore; LMCache %s, "
                "agent with %s; %d processors, DOCA emulated in software" % (
                    len(points[0]["restore_s"]), model["lmcache"], report["backend"], report["machine"]["cores"]),
                ha="center", fontsize=7.5, color="#555555")
    figure.subplots_adjust(left=0.115, right=0.975, top=0.92, bottom=0.2)
    figures.save(figure, path, dpi=130)


def main():
    (report,), path = figures.arguments(__doc__)
    if not report.get("lengths"):
        print("%s has no lengths: run examples/lmcache/demo.py with --lengths" % sys.argv[1], file=sys.stderr)
        return 1
    draw(report, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
