"""Progress of long loops: a bar on a terminal, now and then a line in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO, TypeVar

T = TypeVar("T")

#: Seconds between two lines in a log.
INTERVAL = 10.0


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of iterable, and show on stderr how far it is, how fast, and when it will end.

    total is the number of items, by default len(iterable) where it has one.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from _bar(iterable, description, total)
    else:
        yield from _lines(iterable, description, total, sys.stderr)


def _bar(iterable: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    from rich import progress

    from tessera.common.console import console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console(stderr=True)) as bar:
        yield from bar.track(iterable, total=total, description=description)


def _lines(iterable: Iterable[T], description: str, total: int | None, out: TextIO) -> Iterator[T]:
    start = shown = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - shown >= INTERVAL or (done == total and shown > start):
            shown = now
            print(line(description, done, total, now - start), file=out, flush=True)


def line(description: str, done: int, total: int | None, elapsed: float) -> str:
    """`library: 3/30, 12 s each, 5:24 left`; elapsed is in seconds."""
    rate = done / elapsed if elapsed else float("inf")
    speed = f"{rate:.3g}/s" if rate >= 1 else f"{1 / rate:.3g} s each"
    if total is None:
        return f"{description}: {done}, {speed}"
    left = round((total - done) / rate)
    return f"{description}: {done}/{total}, {speed}, {left // 60}:{left % 60:02d} left"
