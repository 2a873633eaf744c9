"""The files of the T-SVM study, read once, for its tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tessera.common import files
from tessera.tsvm.params import TsvmParams
from tessera.tsvm.summaries import Bootstrap, by_method, rank_correlations


@dataclass(frozen=True)
class Results:
    """Everything that the study wrote; tables of several jobs are joined."""

    params: TsvmParams
    seed: int
    problems: dict[str, dict[str, float]]
    """numbers of each reference problem"""
    rounds: pd.DataFrame
    """bounds on the margin, one row per problem, variant and round"""
    trace: pd.DataFrame
    """potential and envelope of one problem"""
    support: pd.DataFrame
    """its temporal support vectors"""
    soft: pd.DataFrame
    """optima by slack penalty"""
    steps: pd.DataFrame
    """margins by the online rule"""
    load: pd.DataFrame
    """one row per problem at some load"""
    curves: pd.DataFrame
    """scores by problem, method, kind of noise and level"""
    critical: pd.DataFrame
    """the noise at which half of the trials fail"""
    sweep: pd.DataFrame
    """margins by tau_c and hold window"""
    brian: dict[str, float]
    """what Brian2's spikes have in common with ours"""
    xor_margins: pd.DataFrame
    """margins of the exclusive-or by kernel"""
    xor_noise: pd.DataFrame
    """its noisy scores by kernel, kind of noise and level"""
    speech: pd.DataFrame
    """accuracies, one row per pair of speakers"""

    @property
    def bootstrap(self) -> Bootstrap:
        return Bootstrap(self.params.noise.bootstrap, self.seed)

    @cached_property
    def methods(self) -> pd.DataFrame:
        """Critical noise by kind and method."""
        return by_method(self.critical, self.bootstrap)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """Rank correlations of predicted and measured critical noise."""
        return rank_correlations(self.critical, self.bootstrap)


def read(
    params: TsvmParams,
    seed: int,
    problems: Sequence[Path],
    rounds: Sequence[Path],
    trace: Path,
    support: Path,
    soft: Sequence[Path],
    steps: Sequence[Path],
    load: Sequence[Path],
    curves: Sequence[Path],
    critical: Sequence[Path],
    sweep: Path,
    brian: Path,
    xor_margins: Path,
    xor_noise: Path,
    speech: Path,
) -> Results:
    """Read the files; those of `problems` are named after their problem. Raises OSError and ValueError."""
    return Results(
        params,
        seed,
        {path.stem: files.read_json(path) for path in sorted(problems)},
        _joined(rounds),
        files.read_parquet(trace),
        files.read_parquet(support),
        _joined(soft),
        _joined(steps),
        _joined(load),
        _joined(curves),
        _joined(critical),
        files.read_parquet(sweep),
        files.read_json(brian),
        files.read_parquet(xor_margins),
        files.read_parquet(xor_noise),
        files.read_parquet(speech),
    )


def _joined(paths: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([files.read_parquet(path) for path in paths], ignore_index=True)
