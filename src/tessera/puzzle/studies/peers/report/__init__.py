"""Results of the comparison with other ways to prune, from its result files."""

from tessera.common.publish import Report
from tessera.puzzle.studies.peers.report import figures, tables
from tessera.puzzle.studies.peers.report.results import Results
from tessera.puzzle.studies.peers.report.runs import runs

REPORT: Report[Results] = Report(
    texts={"results": tables.markdown},
    tables={"peers": tables.peers, "domains": tables.domains},
    figures={"peers": figures.peers},
    metrics=tables.metrics,
    runs=runs,
)
