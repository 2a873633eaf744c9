"""What the report of a study writes: texts, tables, figures, the numbers of its claims, and its runs for MLflow."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tessera.common import files, run_files
from tessera.common.files import Json
from tessera.common.run_files import RunRecord

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Results = TypeVar("Results")


@dataclass(frozen=True)
class Report(Generic[Results]):
    """The functions of a study's report, each of the study's results; items by the name of their file.

    The docstring of an item's function is its caption in `make report`.
    """

    texts: Mapping[str, Callable[[Results], str]]
    """In Markdown."""
    metrics: Callable[[Results], Json]
    runs: Callable[[Results], Iterable[RunRecord]]
    """Their figures are names of figures here."""
    tables: Mapping[str, Callable[[Results], "pd.DataFrame"]] = field(default_factory=dict)
    figures: Mapping[str, Callable[[Results], "Figure"]] = field(default_factory=dict)

    def write(
        self,
        results: Results,
        *,
        texts: Iterable[Path] = (),
        tables: Iterable[Path] = (),
        figures: Iterable[Path] = (),
        metrics: Path,
        runs: Path,
    ) -> None:
        """Write each item into the file of its name, the numbers as JSON, and the runs as JSON lines.

        Raises ValueError, naming the argument, if the report has no item of that name.
        """
        texts, tables, figures = list(texts), list(tables), list(figures)
        wanted = {"texts": (texts, self.texts), "tables": (tables, self.tables), "figures": (figures, self.figures)}
        for flag, (paths, known) in wanted.items():
            if unknown := [path.name for path in paths if path.stem not in known]:
                raise ValueError(f"--{flag}: there is no {', '.join(unknown)}; expected {', '.join(known)}")
        for path in texts:
            files.write_text(path, self.texts[path.stem](results))
        for path in tables:
            files.write_csv(path, self.tables[path.stem](results))
        if figures:
            from tessera.common import plots  # takes a second to import
        for path in figures:
            plots.save(self.figures[path.stem](results), path)
        files.write_json(metrics, self.metrics(results))
        place = {path.stem: str(path) for path in figures}
        run_files.write(
            runs,
            [
                record.model_copy(update={"figures": [place[name] for name in record.figures if name in place]})
                for record in self.runs(results)
            ],
        )
