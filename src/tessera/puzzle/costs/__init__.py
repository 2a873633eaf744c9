"""What each variant costs on a hardware and workload: time, memory, parameters."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera.puzzle.costs.lookup import child_cost
    from tessera.puzzle.costs.tables import of_target, table, throughput

__all__ = ["child_cost", "of_target", "table", "throughput"]


def __getattr__(name: str) -> Any:
    """Load the tables when they are first asked for: reading parameters does not take pandas, looking up costs does not
    take torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "child_cost":
        from tessera.puzzle.costs import lookup

        return lookup.child_cost
    from tessera.puzzle.costs import tables

    return getattr(tables, name)
