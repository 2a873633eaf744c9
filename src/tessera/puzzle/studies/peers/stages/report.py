"""Write tables, numbers, run files and the figure of the comparison with other ways to prune."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.common.params import Section
from tessera.puzzle.studies.peers.params import PeersParams
from tessera.puzzle.studies.peers.report import figures, tables


class Params(Section):
    """The comparison, and the seed of the whole."""

    peers: PeersParams
    seed: int


def main(
    params: Params,
    children: list[Path],
    speed: Path,
    results: Path,
    peers: Path,
    domains: Path,
    metrics: Path,
    runs: Path,
    figure: Path,
) -> None:
    """Write results, in Markdown, the tables of peers and domains, the numbers, the run files, and the figure."""
    rows, times = tables.read(children, speed)
    files.write_text(results, tables.markdown(rows, times))
    files.write_csv(peers, tables.peers(rows, times))
    files.write_csv(domains, tables.domains(rows))
    files.write_json(metrics, tables.metrics(rows, times))
    settings = {"peers": params.peers.model_dump(mode="json")}
    with files.replacing_directory(runs) as made:
        for place, record in tables.runs(rows, times, settings, params.seed):
            record.write(made / f"{place}.json")
    plots.save(figures.peers(rows, times), figure)


if __name__ == "__main__":
    stage.run(main)
