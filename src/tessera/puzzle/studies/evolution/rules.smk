# The program beside searches that run every child they look at. No part of `all`.

EVOLUTION = PARAMS.puzzle_studies.evolution
EVOLUTION_SEARCHES = ["program-0"] + [
    f"{search}-{replicate}" for search in ("random", "evolution", "warm") for replicate in range(EVOLUTION.seeds)
]


wildcard_constraints:
    search="program|random|evolution|warm",


rule puzzle_evolution:
    input:
        "reports/tables/puzzle_evolution/results.md",
        "reports/metrics/puzzle_evolution",
    message:
        "The program beside evolution on true KL. Not in `all`"


rule puzzle_evolution_search:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        block_library=f"data/puzzle/search/{EVOLUTION.target}/block_library.json",
        code=code("puzzle_evolution_search"),
    output:
        metrics="data/puzzle_studies/evolution/{search}-{replicate}.json",
    log:
        "logs/puzzle_evolution_search/{search}-{replicate}.log",
    benchmark:
        "logs/benchmarks/puzzle_evolution_search/{search}-{replicate}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.evolution", "puzzle.space", "puzzle.search", "puzzle.scores", "seed"),
    message:
        "Search {wildcards.search} on true KL, replicate {wildcards.replicate}"
    shell:
        "python -m tessera.puzzle.studies.evolution.stages.search --params {params.cfg:q} --search {wildcards.search}"
        " --replicate {wildcards.replicate} --parent data/parent --tokens data/tokens --library {input.library}"
        " --block-library {input.block_library}"
        " --ledger logs/checkpoints/evolution-{wildcards.search}-{wildcards.replicate}.json"
        " --metrics {output.metrics} 2>&1 | tee {log}"


rule puzzle_evolution_report:
    input:
        searches=expand("data/puzzle_studies/evolution/{one}.json", one=EVOLUTION_SEARCHES),
        code=code("puzzle_evolution_report"),
    output:
        results=old_item("reports/tables/puzzle_evolution/results.md", "results in words"),
        table=old_item("reports/tables/puzzle_evolution/searches.csv", "searches in numbers"),
        figure=old_item("reports/figures/puzzle_evolution/search.svg", "KL against children that were run"),
        metrics="reports/metrics/puzzle_evolution.json",
        runs=directory("reports/metrics/puzzle_evolution"),
    log:
        "logs/puzzle_evolution_report.log",
    benchmark:
        "logs/benchmarks/puzzle_evolution_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.evolution", "seed"),
    message:
        "Table and figure of the searches on true KL, and their runs"
    shell:
        "python -m tessera.puzzle.studies.evolution.stages.report --params {params.cfg:q} --searches {input.searches}"
        " --results {output.results} --table {output.table} --metrics {output.metrics} --runs {output.runs}"
        " --figure {output.figure} > {log} 2>&1"
