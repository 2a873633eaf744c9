"""Capacity of the tempotron on independent bins by replica theory, and the load at an overlap of typical solutions."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.tempotron import solutions, theory
from tessera.tempotron.params import TheoryParams

#: Overlaps of the planted curves.
OVERLAPS = np.round(np.r_[0.02, 0.05, np.arange(0.1, 0.951, 0.05)], 3)


class Params(Section):
    theory: TheoryParams
    seed: int


def main(params: Params, capacity: Path, planted: Path) -> None:
    rows = []
    for k in progress.track(params.theory.ks, "capacity"):
        rs = theory.replica_symmetric(k)
        one = theory.one_step(k, params.theory.points, params.seed) if k > 1 else None
        rows.append(
            {
                "k": k,
                "one_step": one.alpha if one else rs.alpha,  # the perceptron is replica symmetric
                "theta": one.theta if one else rs.theta,
                "x": one.x if one else math.nan,
                "q0": one.q0 if one else math.nan,
                "zero_overlap": theory.zero_overlap(k).alpha if k > 1 else rs.alpha,
                "replica_symmetric": rs.alpha,
                "leading": theory.leading_order(k) if k > 1 else math.nan,
            }
        )
    files.write_parquet(capacity, pd.DataFrame(rows))
    curves = [
        pd.DataFrame({"k": k, "q": OVERLAPS, "load": solutions.planted_load(OVERLAPS, k)})
        for k in progress.track(params.theory.planted_ks, "planted")
    ]
    files.write_parquet(planted, pd.concat(curves))


if __name__ == "__main__":
    stage.run(main)
