"""Write the tables of a benchmark of optimisers, and one run file for each of its cells."""

from pathlib import Path

from tessera.bayesopt.params import SuiteParams
from tessera.bayesopt.report import tables as bayesopt_tables
from tessera.common import files, publish, stage
from tessera.common.params import Section


class Params(Section):
    """One suite, and the seed of the whole study."""

    suite: SuiteParams
    seed: int


def main(
    params: Params,
    benchmark: str,
    evaluations: list[Path],
    costs: list[Path],
    results: Path,
    tables: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write results, in Markdown, the tables, each named by its file, the metrics, and the run files."""
    suite, seed = params.suite, params.seed
    found = bayesopt_tables.read(evaluations, suite)
    seconds = [cost for path in costs for cost in files.read_json(path)]
    made = {
        "results": bayesopt_tables.results(found, suite, seconds, seed),
        "comparison": bayesopt_tables.comparison(found, suite, seed),
        "lag": bayesopt_tables.lag(found, suite, seed),
    }
    publish.check("tables", tables, made)
    for path in tables:
        files.write_csv(path, made[path.stem])
    files.write_text(results, bayesopt_tables.markdown(made["results"], made["comparison"], suite))
    files.write_json(metrics, bayesopt_tables.metrics(made["results"], made["comparison"], made["lag"]))
    with files.replacing_directory(runs) as directory:
        for place, record in bayesopt_tables.records(found, suite, seconds, benchmark, seed):
            record.write(directory / f"{place}.json")


if __name__ == "__main__":
    stage.run(main)
