"""Draw and tabulate the T-SVM study."""

from pathlib import Path

from tessera.common import files, plots, publish, stage
from tessera.common.params import Section
from tessera.tsvm.params import NoiseParams
from tessera.tsvm.report import margin_figures, noise_figures
from tessera.tsvm.report import results as tsvm_results
from tessera.tsvm.report import tables as tsvm_tables

FIGURES = {
    "voltage": margin_figures.voltage,
    "certificate": margin_figures.certificate,
    "load": margin_figures.load,
    "noise": noise_figures.noise,
    "prediction": noise_figures.prediction,
    "sweep": noise_figures.sweep,
    "xor": noise_figures.xor,
    "speech": noise_figures.speech,
}


class Params(Section):
    noise: NoiseParams
    seed: int


def main(
    params: Params,
    rounds: list[Path],
    trace: Path,
    support: Path,
    soft: list[Path],
    steps: list[Path],
    load: list[Path],
    curves: list[Path],
    critical: list[Path],
    sweep: Path,
    kernels: Path,
    xor: Path,
    speech: Path,
    runs: list[Path],
    figures: list[Path],
    tables: list[Path],
    results: Path,
    summary: Path,
    metrics: Path,
) -> None:
    """Write figures and tables, each named by its file, the results in Markdown, and the numbers of the claims."""
    for flag, paths, known in (("figures", figures, FIGURES), ("tables", tables, tsvm_tables.TABLES)):
        publish.check(flag, paths, known)
    found = tsvm_results.read(
        rounds, trace, support, soft, steps, load, curves, critical, sweep, kernels, xor, speech, runs,
        (params.noise.bootstrap, params.seed),
    )  # fmt: skip
    for path in figures:
        plots.save(FIGURES[path.stem](found), path)
    for path in tables:
        files.write_csv(path, tsvm_tables.TABLES[path.stem](found))
    files.write_text(results, tsvm_tables.markdown(found))
    files.write_text(summary, tsvm_tables.summary(found))
    files.write_json(metrics, tsvm_tables.metrics(found))


if __name__ == "__main__":
    stage.run(main)
