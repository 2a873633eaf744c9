"""The console that tables are printed to."""

from typing import Any

from rich.console import Console


def console(**options: Any) -> Console:
    """A rich console that prints text as it stands: names such as `gqa[kv8]` or `:x:` are no markup and no emoji.

    options: those of rich's Console, such as stderr or width.
    """
    return Console(markup=False, emoji=False, **options)
