"""Progress lines."""

import io

import pytest

from tessera.common import progress


class Clock:
    """A clock that each look at moves on by one second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_items_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), "quick")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "time", Clock())
    assert list(progress.track(iter(range(24)), "library", total=24)) == list(range(24))
    assert capsys.readouterr().err.splitlines() == [
        "library: 10/24, 1/s, 0:14 left",
        "library: 20/24, 1/s, 0:04 left",
        "library: 24/24, 1/s, 0:00 left",
    ]


def test_unknown_total(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "time", Clock())
    list(progress.track(iter(range(15)), "reading"))
    assert capsys.readouterr().err == "reading: 10, 1/s\n"


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "expected"),
    [(3, 30, 36.0, "x: 3/30, 12 s each, 5:24 left"), (500, 1000, 2.0, "x: 500/1000, 250/s, 0:02 left")],
)
def test_line(done: int, total: int, elapsed: float, expected: str) -> None:
    assert progress.line("x", done, total, elapsed) == expected


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress.track([1, 2], "library")) == [1, 2]
    assert "library" in screen.getvalue()
    assert "2/2" in screen.getvalue()
