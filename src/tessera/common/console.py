"""The terminal."""

from typing import Any

from rich.console import Console


def console(**options: Any) -> Console:
    """A Rich console that prints names as they are written: `[kv8]` is no markup, `:x:` no emoji."""
    return Console(markup=False, emoji=False, **options)
