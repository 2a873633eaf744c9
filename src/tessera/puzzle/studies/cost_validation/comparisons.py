"""All comparisons of the cost model: published throughputs, timed layouts, and the datasheet's bound."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tessera.puzzle.costs.kernel_database import KernelDatabase
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.studies.cost_validation import published, validation
from tessera.puzzle.studies.cost_validation.params import CostValidationParams


@dataclass(frozen=True)
class Comparisons:
    """Tables of each comparison, of all software and types."""

    throughput: pd.DataFrame
    """`published.throughputs`"""
    interpolation: pd.DataFrame
    """`validation.interpolation`"""
    roofline: pd.DataFrame
    """`validation.against_roofline`"""


def compare(params: CostValidationParams, track: Callable[[Iterable[Any]], Iterable[Any]] = iter) -> Comparisons:
    """Return the comparisons; track wraps the loop over software, to show progress."""

    def pricer(software: str, dtype: str) -> KernelDatabase:
        shared = {"source": "kernel-database", "hardware": "h100-sxm", "workload": params.roofline}
        return KernelDatabase(CostTarget.model_validate(shared | {"software": software, "dtype": dtype}))

    parent, child = published.served(published.PARENT), published.served(published.CHILD)
    throughput, interpolation, roofline = [], [], []
    for software in track(params.software):
        throughput.append(published.throughputs(pricer(software, "fp8"), parent, child, params.workloads))
        for dtype in params.dtypes:
            interpolation.append(validation.interpolation(pricer(software, dtype)))
            roofline.append(validation.against_roofline(parent.architecture, software, dtype, params.roofline))
    return Comparisons(*(pd.concat(parts, ignore_index=True) for parts in (throughput, interpolation, roofline)))
