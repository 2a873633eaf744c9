# Does what the search is told hold of the children that it chooses? Hours, so no part of `all`.

VALIDITY = PARAMS.puzzle_studies.validity
VALIDITY_GROUPS = ["mip", "diverse", "baselines", *VALIDITY.random]

VALIDITY_FIGURES = {
    "reports/figures/puzzle_validity/kl.svg": "KL against summed scores",
    "reports/figures/puzzle_validity/bias.svg": "bias against exchanged subblocks",
    "reports/figures/puzzle_validity/composed.svg": "scores of pairs against sums",
    "reports/figures/puzzle_validity/optimum.svg": "optima of corrected objectives",
    "reports/figures/puzzle_validity/time.svg": "time against the cost table",
}
VALIDITY_TABLES = {
    "reports/tables/puzzle_validity/children.csv": "children, predicted and run",
    "reports/tables/puzzle_validity/composed.csv": "pairs of subblocks",
    "reports/tables/puzzle_validity/optimum.csv": "optima of corrected objectives",
    "reports/tables/puzzle_validity/time.csv": "times, predicted and measured",
}
VALIDITY_FILES = {
    "groups": expand("data/puzzle_studies/validity/groups/{group}.json", group=VALIDITY_GROUPS),
    "corrected": "data/puzzle_studies/validity/groups/corrected.json",
    "correction": "data/puzzle_studies/validity/correction.json",
    "composed": "data/puzzle_studies/validity/composed.json",
    "scores": SCORES,
    "time": "data/puzzle_studies/validity/time.json",
}
VALIDITY_ARGUMENTS = (
    " --groups {input.groups} --corrected {input.corrected} --correction {input.correction}"
    " --composed {input.composed} --scores {input.scores} --time {input.time}"
)


wildcard_constraints:
    group="|".join([*VALIDITY_GROUPS, "corrected"]),


rule puzzle_validity:
    input:
        "reports/tables/puzzle_validity/results.md",
        [*VALIDITY_TABLES, *VALIDITY_FIGURES],
        "reports/metrics/puzzle_validity.json",
        "reports/metrics/puzzle_validity",
    message:
        "Do summed scores predict KL, and summed times the clock? Not in `all`"


rule puzzle_validity_children:
    input:
        libraries=LIBRARIES,
        code=code("puzzle_validity_children"),
    output:
        children="data/puzzle_studies/validity/children.json",
    log:
        "logs/puzzle_validity_children.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_children.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.search", "seed"),
    message:
        "Children on which predictions are tried"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.children --params {params.cfg:q} --libraries {input.libraries}"
        " --children {output.children} 2>&1 | tee {log}"


rule puzzle_validity_group:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        children=lambda wildcards: "data/puzzle_studies/validity/"
        + ("corrected.json" if wildcards.group == "corrected" else "children.json"),
        code=code("puzzle_validity_group"),
    output:
        metrics="data/puzzle_studies/validity/groups/{group}.json",
    log:
        "logs/puzzle_validity_group/{group}.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_group/{group}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.validity", "puzzle.space", "puzzle.scores", "puzzle.calibration", "puzzle.heal", "seed"
        ),
    message:
        "Run the children of group {wildcards.group}"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.group --params {params.cfg:q} --group {wildcards.group}"
        " --parent data/parent --tokens data/tokens --library {input.library} --children {input.children}"
        " --metrics {output.metrics}"
        f" --teacher-cache {TEACHER}"
        " 2>&1 | tee {log}"


rule puzzle_validity_interactions:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        code=code("puzzle_validity_interactions"),
    output:
        gram="data/puzzle_studies/validity/interactions.npy",
        scores="data/puzzle_studies/validity/interactions.json",
    log:
        "logs/puzzle_validity_interactions.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_interactions.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.scores", "seed"),
    message:
        "Interactions of exchanged subblocks in the logits"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.interactions --params {params.cfg:q} --parent data/parent"
        " --tokens data/tokens --library {input.library} --gram {output.gram} --scores {output.scores}"
        " 2>&1 | tee {log}"


rule puzzle_validity_composed:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        children="data/puzzle_studies/validity/children.json",
        code=code("puzzle_validity_composed"),
    output:
        metrics="data/puzzle_studies/validity/composed.json",
    log:
        "logs/puzzle_validity_composed.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_composed.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.scores", "seed"),
    message:
        "Scores of two subblocks exchanged at once"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.composed --params {params.cfg:q} --parent data/parent"
        " --tokens data/tokens --library {input.library} --children {input.children} --metrics {output.metrics}"
        " 2>&1 | tee {log}"


rule puzzle_validity_correction:
    input:
        groups=VALIDITY_FILES["groups"],
        scores=SCORES,
        gram="data/puzzle_studies/validity/interactions.npy",
        libraries=LIBRARIES,
        code=code("puzzle_validity_correction"),
    output:
        correction="data/puzzle_studies/validity/correction.json",
        children="data/puzzle_studies/validity/corrected.json",
    log:
        "logs/puzzle_validity_correction.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_correction.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.search"),
    message:
        "Scores corrected by interactions, and the optimum searched again"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.correction --params {params.cfg:q} --groups {input.groups}"
        " --scores {input.scores} --gram {input.gram} --libraries {input.libraries}"
        " --correction {output.correction} --children {output.children} 2>&1 | tee {log}"


rule puzzle_validity_time:
    input:
        parent=PARENT,
        library=LIBRARY,
        costs=expand("data/puzzle/costs/{target}.parquet", target=TARGETS),
        children="data/puzzle_studies/validity/children.json",
        code=code("puzzle_validity_time"),
    output:
        metrics="data/puzzle_studies/validity/time.json",
    log:
        "logs/puzzle_validity_time.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_time.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.costs"),
    message:
        "Times of children on this machine"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.time --params {params.cfg:q} --parent data/parent"
        " --library {input.library} --costs {input.costs} --children {input.children} --metrics {output.metrics}"
        " 2>&1 | tee {log}"


rule puzzle_validity_tables:
    input:
        **VALIDITY_FILES,
        code=code("puzzle_validity_tables"),
    output:
        results=old_item("reports/tables/puzzle_validity/results.md", "results in words"),
        tables=[old_item(path, title) for path, title in VALIDITY_TABLES.items()],
        metrics="reports/metrics/puzzle_validity.json",
        runs=directory("reports/metrics/puzzle_validity"),
    log:
        "logs/puzzle_validity_tables.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_tables.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "seed"),
    message:
        "Tables of the validity study, and its runs"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.tables --params {params.cfg:q}"
        + VALIDITY_ARGUMENTS
        + " --results {output.results} --tables {output.tables} --metrics {output.metrics} --runs {output.runs}"
        " > {log} 2>&1"


rule puzzle_validity_figures:
    input:
        **VALIDITY_FILES,
        code=code("puzzle_validity_figures"),
    output:
        figures=[old_item(path, title) for path, title in VALIDITY_FIGURES.items()],
    log:
        "logs/puzzle_validity_figures.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_figures.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "seed"),
    message:
        "Figures of the validity study"
    shell:
        "python -m tessera.puzzle.studies.validity.stages.figures --params {params.cfg:q}"
        + VALIDITY_ARGUMENTS
        + " --figures {output.figures} > {log} 2>&1"
