"""All comparisons of the cost model: published throughputs, timed layouts, and the datasheet's bound."""

from collections.abc import Callable, Iterable, Iterator
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
    gpus: pd.DataFrame
    """`validation.interpolation` on other GPUs, with `hardware`"""
    roofline: pd.DataFrame
    """`validation.against_roofline`"""


def compare(params: CostValidationParams, track: Callable[[Iterable[Any]], Iterable[Any]] = iter) -> Comparisons:
    """Return the comparisons; track wraps the loop over software, to show progress."""

    def pricer(software: str, dtype: str, hardware: str = "h100-sxm") -> KernelDatabase:
        shared = {"source": "kernel-database", "hardware": hardware, "workload": params.roofline}
        return KernelDatabase(CostTarget.model_validate(shared | {"software": software, "dtype": dtype}))

    def elsewhere(hardware: str) -> Iterator[pd.DataFrame]:
        for dtype in params.dtypes:
            try:
                database = pricer("", dtype, hardware)
            except ValueError:  # the GPU has not this type, or it was not timed
                continue
            yield validation.interpolation(database).assign(hardware=hardware)

    parent, child = published.served(published.PARENT), published.served(published.CHILD)
    throughput, interpolation, roofline = [], [], []
    gpus: list[pd.DataFrame] = []
    for software in track([*params.software, *params.hardware]):
        if software in params.hardware:
            gpus += elsewhere(software)
            continue
        throughput.append(published.throughputs(pricer(software, "fp8"), parent, child, params.workloads))
        for dtype in params.dtypes:
            interpolation.append(validation.interpolation(pricer(software, dtype)))
            roofline.append(validation.against_roofline(parent.architecture, software, dtype, params.roofline))
    parts = (throughput, interpolation, gpus, roofline)
    return Comparisons(*(pd.concat(part, ignore_index=True) for part in parts))
