# Bits: structure and types of weights in one program, under time and size. Not part of `all`.

BITS = PARAMS.puzzle_studies.bits


rule puzzle_bits_scores_part:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        code=code("puzzle_bits_scores_part"),
    output:
        scores="data/puzzle_studies/bits/scores/part_{part}.json",
    log:
        "logs/puzzle_bits_scores_part/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_bits_scores_part/{part}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle_studies.bits", "puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_bits_scores_part"),
    message:
        "Scores of variants in types, part {wildcards.part}"
    shell:
        STAGE


rule puzzle_bits_costs:
    input:
        config="data/parent/config.json",
        code=code("puzzle_bits_costs"),
    output:
        table="data/puzzle_studies/bits/costs/{dtype}.parquet",
        info="data/puzzle_studies/bits/costs/{dtype}.json",
    log:
        "logs/puzzle_bits_costs/{dtype}.log",
    benchmark:
        "logs/benchmarks/puzzle_bits_costs/{dtype}.tsv"
    # Alone on the machine.
    threads: workflow.cores
    params:
        cfg=section("puzzle_studies.bits", "puzzle.space"),
        stage=stage("puzzle_bits_costs"),
    message:
        "Costs in {wildcards.dtype}"
    shell:
        STAGE


rule puzzle_bits_search:
    input:
        scores=expand("data/puzzle_studies/bits/scores/part_{part}.json", part=range(BITS.jobs)),
        tables=expand("data/puzzle_studies/bits/costs/{dtype}.parquet", dtype=BITS.types),
        code=code("puzzle_bits_search"),
    output:
        children="data/puzzle_studies/bits/children.json",
    log:
        "logs/puzzle_bits_search.log",
    benchmark:
        "logs/benchmarks/puzzle_bits_search.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.bits"),
        stage=stage("puzzle_bits_search"),
    message:
        "Search structure and bits"
    shell:
        STAGE


rule puzzle_bits_measure:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        children="data/puzzle_studies/bits/children.json",
        code=code("puzzle_bits_measure"),
    output:
        metrics="data/puzzle_studies/bits/measured.json",
    log:
        "logs/puzzle_bits_measure.log",
    benchmark:
        "logs/benchmarks/puzzle_bits_measure.tsv"
    # Alone on the machine, for it serves some.
    threads: workflow.cores
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle_studies.bits", "puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_bits_measure"),
    message:
        "Run and serve children in types"
    shell:
        STAGE


rule puzzle_bits_report:
    input:
        info=f"data/puzzle_studies/bits/costs/{BITS.types[0]}.json",
        measured="data/puzzle_studies/bits/measured.json",
        code=code("puzzle_bits_report"),
    output:
        **published(
            "puzzle_bits",
            texts={"results": "structure and bits in one program"},
            tables={"children": "children in types"},
            figures={"frontier": "KL against speed and size"},
            shown=("frontier",),
        ),
    log:
        "logs/puzzle_bits_report.log",
    benchmark:
        "logs/benchmarks/puzzle_bits_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.bits"),
        stage=stage("puzzle_bits_report"),
    message:
        "Table, figure and runs of structure and bits"
    shell:
        STAGE


rule puzzle_bits:
    input:
        rules.puzzle_bits_report.output,
    message:
        "Structure and bits in one program, compared with each alone. Not part of `all`"
