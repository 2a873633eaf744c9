"""Set the cost model beside published throughputs, timed layouts and the datasheet; write tables, figures, numbers."""

from pathlib import Path

import pandas as pd

from tessera.common import files, plots, progress, stage
from tessera.puzzle.extras_params import CostValidationParams


def main(params: CostValidationParams, figures: list[Path], tables: list[Path], results: Path, metrics: Path) -> None:
    """figures and tables are named by their files: throughput, interpolation, roofline."""
    from tessera.common import publish
    from tessera.puzzle.costs.h100_database import H100Database
    from tessera.puzzle.costs.params import CostTarget
    from tessera.puzzle.studies.cost_validation import published, validation
    from tessera.puzzle.studies.cost_validation.report import results as report

    draw = {"throughput": report.throughput, "interpolation": report.interpolation, "roofline": report.roofline}
    publish.check("figures", figures, draw)
    publish.check("tables", tables, draw)

    def pricer(software: str, dtype: str) -> H100Database:
        shared = {"source": "h100-database", "hardware": "h100-sxm", "workload": params.roofline}
        return H100Database(CostTarget.model_validate(shared | {"software": software, "dtype": dtype}))

    parent, child = published.served(published.PARENT), published.served(published.CHILD)
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in draw}
    for software in progress.track(params.software, "validate costs"):
        found["throughput"].append(published.throughputs(pricer(software, "fp8"), parent, child, params.workloads))
        for dtype in params.dtypes:
            found["interpolation"].append(validation.interpolation(pricer(software, dtype)))
            found["roofline"].append(validation.against_roofline(parent.architecture, software, dtype, params.roofline))
    whole = {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}
    summary = validation.interpolation_summary(whole["interpolation"])
    for path in tables:
        files.write_csv(path, whole[path.stem])
    for path in figures:
        plots.save(draw[path.stem](whole[path.stem]), path)
    numbers = (whole["throughput"], summary, whole["roofline"])
    files.write_text(results, report.markdown(*numbers))
    files.write_json(metrics, report.metrics(*numbers))


if __name__ == "__main__":
    stage.run(main)
