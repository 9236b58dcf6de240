# SPDX-License-Identifier: Apache-2.0
"""What the demonstration shows: lines that stay, and on a terminal one line at the bottom that says what goes on."""

import sys
import time

from tqdm import tqdm

LABEL_WIDTH = 18


class Screen:
    """Writes to standard output; the moving line goes to standard error, and only to a terminal."""

    def __init__(self) -> None:
        self.moving = sys.stderr.isatty()
        self._bar: tqdm | None = None
        self._text = ""
        self._bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    def heading(self, text: str) -> None:
        self.line("")
        self.line(self._bold[0] + text + self._bold[1])

    def row(self, label: str, text: str) -> None:
        self.line("  %-*s %s" % (LABEL_WIDTH, label, text))

    def line(self, text: str) -> None:
        self.clear()
        print(text, flush=True)

    def stage(self, text: str) -> None:
        """Something of unknown length begins; seconds are counted while it lasts."""
        if self.moving and text != self._text:
            self.clear()
            self._text = text
            self._bar = tqdm(desc="  " + text, bar_format="{desc} ({elapsed})", leave=False, file=sys.stderr)

    def progress(self, text: str, done: int, total: int) -> None:
        """So much of something is done, in tokens."""
        if not self.moving:
            return
        if text != self._text or self._bar is None or self._bar.total != total:
            self.clear()
            self._text = text
            self._bar = tqdm(desc="  " + text, total=total, unit=" tokens", leave=False, file=sys.stderr,
                             bar_format="{desc} |{bar:30}| {n_fmt}/{total_fmt} tokens, {rate_fmt}")
        self._bar.update(done - self._bar.n)

    def tick(self) -> None:
        """Lets the seconds move on."""
        if self._bar is not None:
            self._bar.refresh()

    def clear(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._text = None, ""


def seconds(value: float) -> str:
    return "%.2f s" % value if value >= 1 else "%.3f s" % value if value >= 0.1 else "%.1f ms" % (value * 1e3)


def megabytes(value: float) -> str:
    return "%.1f MB" % (value / 1e6)


def now() -> float:
    return time.monotonic()
