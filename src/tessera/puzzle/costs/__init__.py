"""What each variant costs on a hardware and workload: time, memory, parameters."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera.puzzle.costs.tables import child_cost, of_target, table, throughput

__all__ = ["child_cost", "of_target", "table", "throughput"]


def __getattr__(name: str) -> Any:
    """Load the tables when they are first asked for: reading parameters does not take pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tessera.puzzle.costs import tables

    return getattr(tables, name)
