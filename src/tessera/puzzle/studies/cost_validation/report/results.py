"""The comparisons of the cost model, by the tables that its report shows."""

from dataclasses import dataclass

import pandas as pd

from tessera.puzzle.studies.cost_validation import validation
from tessera.puzzle.studies.cost_validation.comparisons import Comparisons
from tessera.puzzle.studies.cost_validation.params import CostValidationParams

#: Software by its name in tables.
NAMES = {"trtllm": "TensorRT-LLM", "vllm": "vLLM", "sglang": "SGLang"}


@dataclass(frozen=True)
class Results:
    """The comparisons, and what they are of."""

    params: CostValidationParams
    comparisons: Comparisons

    @property
    def throughput(self) -> pd.DataFrame:
        """Throughputs of child and parent by workload."""
        return self.comparisons.throughput

    @property
    def interpolation(self) -> pd.DataFrame:
        """Errors of interpolating timed layouts."""
        return self.comparisons.interpolation

    @property
    def gpus(self) -> pd.DataFrame:
        """Errors of interpolating timed layouts of other GPUs by GPU, type and phase."""
        return validation.interpolation_by_gpu(self.comparisons.gpus)

    @property
    def roofline(self) -> pd.DataFrame:
        """Times of the variants, and the datasheet's bounds."""
        return self.comparisons.roofline

    @property
    def summary(self) -> pd.DataFrame:
        """Errors of interpolation by software, type, phase and head size."""
        return validation.interpolation_summary(self.interpolation)


def short(software: str) -> str:
    """Return software without its version."""
    return software.split(" ")[0]
