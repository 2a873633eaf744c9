"""Draw the items of all task sets: prompt, choices, answer."""

from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """The sets and how many items of each, and the seed of the whole study."""

    tasks: TasksParams
    seed: int


def main(params: Params, bigbench: Path, evals: Path, items: Path) -> None:
    """Write a table of items: group, set, index, prompt, choices, answer and chance.

    The index counts a set's items as they were drawn: those of even index choose, those of odd index are reported.
    """
    import pandas as pd

    from tessera.data.items import SETS, sample

    archives, rows = {"bigbench": bigbench, "evals": evals}, []
    seed = randomness.seed(params.seed, "puzzle", "tasks")
    for group, sets in params.tasks.groups.items():
        for name, count in sets.items():
            drawn = sample(name, archives[SETS[name].source], count, params.tasks.characters, seed)
            for index, item in enumerate(drawn):
                rows.append(
                    {
                        "group": group,
                        "set": name,
                        "index": index,
                        "prompt": item.prompt,
                        "choices": list(item.choices),
                        "answer": item.answer,
                        "chance": item.chance,
                    }
                )
    files.write_parquet(items, pd.DataFrame(rows))


if __name__ == "__main__":
    stage.run(main)
