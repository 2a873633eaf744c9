"""Write the trials of a study of the workflow, their trace, and a run for each."""

from pathlib import Path

from tessera.bayesopt.params import StudyParams
from tessera.bayesopt.report import study as bayesopt_study
from tessera.bayesopt.trial import Trial
from tessera.common import files, plots, stage


def main(
    params: StudyParams,
    study: str,
    results: list[Path],
    costs: list[Path],
    confirmations: list[Path],
    trials: Path,
    figure: Path,
    metrics: Path,
    runs: Path,
) -> None:
    """Write the table of trials, the figure, the metrics, and the directory of run files."""
    found = [Trial.from_json(files.read_json(path), str(path)) for path in results]
    found.sort(key=lambda trial: trial.id)
    files.write_csv(trials, bayesopt_study.table(found))
    again = [files.read_json(path) for path in confirmations]
    plots.save(bayesopt_study.trace(found, again, study, params), figure)
    files.write_json(metrics, bayesopt_study.metrics(found, again))
    seconds = [files.read_json(path) for path in costs]
    with files.replacing_directory(runs) as made:
        for place, record in bayesopt_study.records(found, seconds, study, params):
            record.write(made / f"{place}.json")


if __name__ == "__main__":
    stage.run(main)
