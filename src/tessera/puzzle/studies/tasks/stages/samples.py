"""Text that the parent and the kept children write after the same beginnings of test documents."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.data.params import TokensParams
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """What is written, the token that precedes a text, and the seed of the whole study."""

    tasks: TasksParams
    tokens: TokensParams
    seed: int


def main(params: Params, parent: Path, children: list[Path], tokens: Path, samples: Path) -> None:
    """Write, for each source, its document, the prompt, and each model's greedy and drawn text."""
    from tessera.puzzle.studies.tasks.samples import written

    models = {path.name: path for path in (parent, *children)}
    rows = written(models, parent, tokens, params.tokens.separator, params.tasks.samples, params.seed)
    files.write_json(samples, rows)


if __name__ == "__main__":
    stage.run(main)
