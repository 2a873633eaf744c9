# Validity: do summed scores and times predict the children that the search chooses? Takes hours; not part of `all`.

VALIDITY = PARAMS.puzzle_studies.validity
VALIDITY_TARGET = cost_target("puzzle_studies.validity.baselines.target")
VALIDITY_GROUPS = ["mip", "diverse", "baselines", *VALIDITY.random]
VALIDITY_CHILDREN = "data/puzzle_studies/validity/children.json"

# What the report reads, by the arguments of its stage.
VALIDITY_FILES = {
    "groups": expand("data/puzzle_studies/validity/groups/{group}.json", group=VALIDITY_GROUPS),
    "corrected": "data/puzzle_studies/validity/groups/corrected.json",
    "correction": "data/puzzle_studies/validity/correction.json",
    "composed": "data/puzzle_studies/validity/composed.json",
    "scores": SCORES,
    "time": "data/puzzle_studies/validity/time.json",
}


wildcard_constraints:
    group="|".join([*VALIDITY_GROUPS, "corrected"]),


rule puzzle_validity_children:
    input:
        libraries=LIBRARIES,
        code=code("puzzle_validity_children"),
    output:
        children=VALIDITY_CHILDREN,
    log:
        "logs/puzzle_validity_children.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_children.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.search", "seed"),
        stage=stage("puzzle_validity_children", target=VALIDITY_TARGET),
    message:
        "Children for testing the predictions"
    shell:
        STAGE


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
            "puzzle_studies.validity",
            "puzzle.space",
            "puzzle.scores",
            "puzzle.calibration",
            "puzzle.heal",
            "puzzle.compute",
            "seed",
        ),
        stage=stage("puzzle_validity_group", teacher_cache=TEACHER),
    message:
        "Run the children of group {wildcards.group}"
    shell:
        STAGE


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
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_validity_interactions"),
    message:
        "Interactions of exchanged subblocks in the logits"
    shell:
        STAGE


rule puzzle_validity_composed:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        children=VALIDITY_CHILDREN,
        code=code("puzzle_validity_composed"),
    output:
        metrics="data/puzzle_studies/validity/composed.json",
    log:
        "logs/puzzle_validity_composed.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_composed.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_validity_composed"),
    message:
        "Scores of two subblocks exchanged at once"
    shell:
        STAGE


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
        stage=stage("puzzle_validity_correction"),
    message:
        "Scores corrected for interactions, and the optimum searched again"
    shell:
        STAGE


rule puzzle_validity_time:
    input:
        parent=PARENT,
        library=LIBRARY,
        costs=expand("data/puzzle/costs/{target}.parquet", target=TARGETS),
        children=VALIDITY_CHILDREN,
        code=code("puzzle_validity_time"),
    output:
        metrics="data/puzzle_studies/validity/time.json",
    log:
        "logs/puzzle_validity_time.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_time.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    resources:
        gpu=SERVING_GPUS,
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.costs"),
        stage=stage("puzzle_validity_time"),
    message:
        "Times of children on this machine"
    shell:
        STAGE


rule puzzle_validity_report:
    input:
        **VALIDITY_FILES,
        code=code("puzzle_validity_report"),
    output:
        **published(
            "puzzle_validity",
            texts={"results": "predictions in numbers"},
            tables={
                "children": "children, predicted and run",
                "composed": "pairs of subblocks",
                "optimum": "optima of corrected objectives",
                "time": "times, predicted and measured",
            },
            figures={
                "kl": "KL against summed scores",
                "bias": "bias against exchanged subblocks",
                "composed": "scores of pairs against sums",
                "optimum": "optima of corrected objectives",
                "time": "time against the cost table",
            },
        ),
    log:
        "logs/puzzle_validity_report.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "seed"),
        stage=stage("puzzle_validity_report"),
    message:
        "Tables, figures and runs of the validity study"
    shell:
        STAGE


rule puzzle_validity:
    input:
        rules.puzzle_validity_report.output,
    message:
        "Do summed scores predict KL, and summed times measured time? Not part of `all`"
