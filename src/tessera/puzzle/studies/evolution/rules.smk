# Evolution: does a search that runs every candidate find a better child than the program? Not part of `all`.

EVOLUTION = PARAMS.puzzle_studies.evolution
EVOLUTION_TARGET = cost_target("puzzle_studies.evolution.target")
EVOLUTION_SEARCHES = ["program-0"] + [
    f"{search}-{replicate}" for search in ("random", "evolution", "warm") for replicate in range(EVOLUTION.seeds)
]


wildcard_constraints:
    search="program|random|evolution|warm",


rule puzzle_evolution_search:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        block_library=f"data/puzzle/search/{EVOLUTION_TARGET}/block_library.json",
        code=code("puzzle_evolution_search"),
    output:
        metrics="data/puzzle_studies/evolution/{search}-{replicate}.json",
    log:
        "logs/puzzle_evolution_search/{search}-{replicate}.log",
    benchmark:
        "logs/benchmarks/puzzle_evolution_search/{search}-{replicate}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.evolution", "puzzle.space", "puzzle.search", "puzzle.scores", "puzzle.compute", "seed"
        ),
        stage=stage(
            "puzzle_evolution_search",
            ledger=lambda wildcards: f"logs/checkpoints/evolution-{wildcards.search}-{wildcards.replicate}.json",
        ),
    message:
        "Search {wildcards.search} on true KL, replicate {wildcards.replicate}"
    shell:
        STAGE


rule puzzle_evolution_report:
    input:
        searches=expand("data/puzzle_studies/evolution/{search}.json", search=EVOLUTION_SEARCHES),
        code=code("puzzle_evolution_report"),
    output:
        **published(
            "puzzle_evolution",
            texts={"results": "searches on true KL"},
            tables={"searches": "searches in numbers"},
            figures={"search": "KL against children that were run"},
            shown=("search",),
        ),
    log:
        "logs/puzzle_evolution_report.log",
    benchmark:
        "logs/benchmarks/puzzle_evolution_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.evolution", "seed"),
        stage=stage("puzzle_evolution_report"),
    message:
        "Table, figure and runs of the searches on true KL"
    shell:
        STAGE


rule puzzle_evolution:
    input:
        rules.puzzle_evolution_report.output,
    message:
        "The program compared with evolution on true KL. Not part of `all`"
