"""What the learning rule solves at one K and size: random tasks over a range of loads."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import FindableParams, NeuronParams


class Params(Section):
    """Neuron, tasks and rule, and the seed of the whole study."""

    neuron: NeuronParams
    findable: FindableParams
    seed: int


def main(params: Params, k: float, n: int, trials: Path, crossing: Path) -> None:
    """Write one row per task, and the load at which half of the tasks are solved, with its interval."""
    import dataclasses

    import pandas as pd

    from tessera.common.randomness import generator
    from tessera.tempotron import findable

    table = pd.DataFrame(findable.trials(k, n, params.findable, params.neuron, params.seed))
    files.write_parquet(trials, table)
    rng = generator(params.seed, "tempotron", "findable", "bootstrap", round(1000 * k), n)
    half = findable.half_crossing(table["load"].to_numpy(), table["solved"].to_numpy(), rng, params.findable.bootstrap)
    files.write_json(crossing, {"k": k, "n": n} | dataclasses.asdict(half))


if __name__ == "__main__":
    stage.run(main)
