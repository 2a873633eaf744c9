# How far the choices of the search depend on the noise of its scores.


rule puzzle_sensitivity:
    input:
        "reports/metrics/puzzle_sensitivity.json",
    message:
        "The search's choices when scores are drawn again"


rule puzzle_resample:
    input:
        scores=SCORES,
        costs="data/puzzle/costs/{target}.parquet",
        code=code("puzzle_sensitivity_resample"),
    output:
        sensitivity="data/puzzle/sensitivity/{target}.json",
    log:
        "logs/puzzle_sensitivity/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_sensitivity/{target}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.sensitivity", "seed"),
    message:
        "Search again with drawn scores for {wildcards.target}"
    shell:
        "python -m tessera.puzzle.studies.sensitivity.stages.resample --params {params.cfg:q} --target {wildcards.target}"
        " --scores {input.scores} --costs {input.costs} --sensitivity {output.sensitivity} 2>&1 | tee {log}"


rule puzzle_sensitivity_figure:
    input:
        sensitivity=expand("data/puzzle/sensitivity/{target}.json", target=TARGETS),
        code=code("puzzle_sensitivity_report"),
    output:
        figure=old_item("reports/figures/puzzle_sensitivity/choices.svg", "choices when scores are drawn again"),
        table=old_item("reports/tables/puzzle_sensitivity/draws.csv", "regret and changes by speed-up"),
        metrics="reports/metrics/puzzle_sensitivity.json",
    log:
        "logs/puzzle_sensitivity_report.log",
    benchmark:
        "logs/benchmarks/puzzle_sensitivity_report.tsv"
    threads: 1
    message:
        "Figure and table of the search's sensitivity"
    shell:
        "python -m tessera.puzzle.studies.sensitivity.stages.report --sensitivity {input.sensitivity}"
        " --figure {output.figure} --table {output.table} --metrics {output.metrics} > {log} 2>&1"


DEFAULT_TARGETS.append("puzzle_sensitivity")
