"""What each variant costs on a hardware and workload: time, memory, parameters."""

from tessera.puzzle.costs.tables import child_cost, of_target, table, throughput

__all__ = ["child_cost", "of_target", "table", "throughput"]
