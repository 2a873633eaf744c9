# Sensitivity: how far do the choices of the search depend on the noise of its scores?


rule puzzle_sensitivity_resample:
    input:
        scores=SCORES,
        costs="data/puzzle/costs/{target}.parquet",
        code=code("puzzle_sensitivity_resample"),
    output:
        sensitivity="data/puzzle/sensitivity/{target}.json",
    log:
        "logs/puzzle_sensitivity_resample/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_sensitivity_resample/{target}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.sensitivity", "seed"),
        stage=stage("puzzle_sensitivity_resample"),
    message:
        "Search again with drawn scores for {wildcards.target}"
    shell:
        STAGE


rule puzzle_sensitivity_report:
    input:
        sensitivity=expand("data/puzzle/sensitivity/{target}.json", target=TARGETS),
        code=code("puzzle_sensitivity_report"),
    output:
        **published(
            "puzzle_sensitivity",
            tables={"draws": "regret and changes by speed-up"},
            figures={"choices": "choices when scores are drawn again"},
            shown=("choices",),
        ),
    log:
        "logs/puzzle_sensitivity_report.log",
    benchmark:
        "logs/benchmarks/puzzle_sensitivity_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.sensitivity", "seed"),
        stage=stage("puzzle_sensitivity_report"),
    message:
        "Figure, table and runs of the search's sensitivity"
    shell:
        STAGE


rule puzzle_sensitivity:
    input:
        rules.puzzle_sensitivity_report.output,
    message:
        "The search's choices when scores are drawn again"


DEFAULT_TARGETS.append("puzzle_sensitivity")
