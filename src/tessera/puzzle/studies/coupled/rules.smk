# Attention and FFN variants that survive a first search, trained together, and searched again. No part of `all`.

COUPLED = PARAMS.puzzle_studies.coupled
SURVIVORS = "data/puzzle_studies/coupled/survivors.json"
COUPLED_LIBRARY = expand("data/puzzle_studies/coupled/library/part_{part}", part=range(COUPLED.jobs))
COUPLED_SCORES = expand("data/puzzle_studies/coupled/scores/part_{part}.json", part=range(COUPLED.jobs))


rule puzzle_coupled:
    input:
        "reports/tables/puzzle_coupled/results.md",
        "reports/metrics/puzzle_coupled",
    message:
        "What is gained where both subblocks of a block learn together? Not in `all`"


rule puzzle_coupled_survivors:
    input:
        libraries=LIBRARIES,
        code=code("puzzle_coupled_survivors"),
    output:
        survivors=SURVIVORS,
    log:
        "logs/puzzle_coupled_survivors.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_survivors.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.search"),
    message:
        "Pairs of variants that the first search chooses"
    shell:
        "python -m tessera.puzzle.studies.coupled.stages.survivors --params {params.cfg:q} --libraries {input.libraries}"
        " --survivors {output.survivors} 2>&1 | tee {log}"


rule puzzle_coupled_library:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        survivors=SURVIVORS,
        code=code("puzzle_coupled_library"),
    output:
        library=directory("data/puzzle_studies/coupled/library/part_{part}"),
    log:
        "logs/puzzle_coupled_library/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_library/{part}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.calibration", "puzzle.library", "seed"),
    message:
        "Train pairs together, part {wildcards.part}"
    shell:
        "python -m tessera.puzzle.studies.coupled.stages.library --params {params.cfg:q} --part {wildcards.part}"
        " --parent data/parent --tokens data/tokens --library {input.library} --survivors {input.survivors}"
        " --coupled-library {output.library} 2>&1 | tee {log}"


rule puzzle_coupled_scores:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        coupled_library=COUPLED_LIBRARY,
        survivors=SURVIVORS,
        code=code("puzzle_coupled_scores"),
    output:
        scores="data/puzzle_studies/coupled/scores/part_{part}.json",
    log:
        "logs/puzzle_coupled_scores/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_scores/{part}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.scores", "seed"),
    message:
        "Scores of whole blocks, part {wildcards.part}"
    shell:
        "python -m tessera.puzzle.studies.coupled.stages.scores --params {params.cfg:q} --part {wildcards.part}"
        " --parent data/parent --tokens data/tokens --library {input.library}"
        " --coupled-library {input.coupled_library} --survivors {input.survivors} --scores {output.scores}"
        " 2>&1 | tee {log}"


rule puzzle_coupled_search:
    input:
        scores=COUPLED_SCORES,
        first="data/puzzle/search/{target}/block_library.json",
        code=code("puzzle_coupled_search"),
    output:
        library="data/puzzle_studies/coupled/search/{target}/block_library.json",
        children="data/puzzle_studies/coupled/search/{target}/children.json",
    log:
        "logs/puzzle_coupled_search/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_search/{target}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.search"),
    message:
        "Search for {wildcards.target} among decoupled and coupled blocks"
    shell:
        "python -m tessera.puzzle.studies.coupled.stages.search --params {params.cfg:q} --target {wildcards.target}"
        " --scores {input.scores} --first {input.first} --library {output.library} --children {output.children}"
        " 2>&1 | tee {log}"


rule puzzle_coupled_children:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        coupled_library=COUPLED_LIBRARY,
        children="data/puzzle_studies/coupled/search/{target}/children.json",
        code=code("puzzle_coupled_children"),
    output:
        metrics="data/puzzle_studies/coupled/children/{target}.json",
    log:
        "logs/puzzle_coupled_children/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_children/{target}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.coupled", "puzzle.space", "puzzle.scores", "puzzle.calibration", "puzzle.heal", "seed"
        ),
    message:
        "Run the {wildcards.target} children of decoupled and coupled blocks"
    shell:
        "python -m tessera.puzzle.studies.coupled.stages.children --params {params.cfg:q} --parent data/parent"
        " --tokens data/tokens --library {input.library} --coupled-library {input.coupled_library}"
        " --children {input.children} --metrics {output.metrics}"
        f" --teacher-cache {TEACHER}"
        " 2>&1 | tee {log}"


rule puzzle_coupled_report:
    input:
        library=COUPLED_LIBRARY,
        scores=COUPLED_SCORES,
        first=LIBRARIES[0],
        children=expand("data/puzzle_studies/coupled/children/{target}.json", target=TARGETS),
        code=code("puzzle_coupled_report"),
    output:
        results=old_item("reports/tables/puzzle_coupled/results.md", "results in words"),
        pair_table=old_item("reports/tables/puzzle_coupled/pairs.csv", "pairs trained together"),
        child_table=old_item("reports/tables/puzzle_coupled/children.csv", "children of coupled blocks"),
        figure=old_item("reports/figures/puzzle_coupled/coupled.svg", "coupled against decoupled"),
        metrics="reports/metrics/puzzle_coupled.json",
        runs=directory("reports/metrics/puzzle_coupled"),
    log:
        "logs/puzzle_coupled_report.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.library", "seed"),
    message:
        "Tables and figure of coupled distillation, and its runs"
    shell:
        "python -m tessera.puzzle.studies.coupled.stages.report --params {params.cfg:q} --coupled-library {input.library}"
        " --scores {input.scores} --first {input.first} --children {input.children} --results {output.results}"
        " --pair-table {output.pair_table} --child-table {output.child_table} --metrics {output.metrics}"
        " --runs {output.runs} --figure {output.figure} > {log} 2>&1"
