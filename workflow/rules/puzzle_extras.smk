# Beside Puzzle's main chain: export of the kept children. Nothing here is read by the chain.


rule puzzle_export:
    input:
        expand("data/puzzle/export/{target}", target=TARGETS),
    message:
        "The kept children as directories that can be published"


rule puzzle_export_child:
    input:
        parent=PARENT,
        source=parent_files(),
        child="data/puzzle/children/{target}",
        curve="data/puzzle/curves/{target}/full.json",
        choices="data/puzzle/search/{target}/children.json",
        info="data/puzzle/search/{target}/measurement_info.json",
        evaluation=f"data/puzzle/evaluation/{{target}}-{KEPT}.json",
        code=code("puzzle_export"),
    output:
        export=directory("data/puzzle/export/{target}"),
    log:
        "logs/puzzle_export/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_export/{target}.tsv"
    threads: 1
    params:
        cfg=section(
            "puzzle_extras.export",
            "data.parent",
            member=member(PACKAGES.get(PARENT_NAME), "gguf"),
            sources={
                source: {"package": package.name, "content": package.content}
                for source in SOURCES
                for package in [packages.holding(PACKAGES, source)]
            },
        ),
    message:
        "Export the {wildcards.target} child"
    shell:
        f"python -m tessera.stages.puzzle_export --params {{params.cfg:q}} --method {KEPT}"
        " --target {wildcards.target} --parent data/parent --source {input.source:q} --child {input.child}"
        " --curve {input.curve} --choices {input.choices} --info {input.info} --evaluation {input.evaluation}"
        " --export {output.export} 2>&1 | tee {log}"


# What the cost model is worth, where others have measured.
COST_FIGURES = {
    "reports/figures/puzzle_costs/throughput.svg": "throughput by the cost model and by NVIDIA",
    "reports/figures/puzzle_costs/interpolation.svg": "interpolation of timed layouts",
    "reports/figures/puzzle_costs/roofline.svg": "time beside the datasheet's bound",
}
COST_TABLES = {
    "reports/tables/puzzle_costs/throughput.csv": "throughputs by workload",
    "reports/tables/puzzle_costs/interpolation.csv": "errors of interpolation",
    "reports/tables/puzzle_costs/roofline.csv": "variants beside the bound",
}


rule puzzle_cost_validation:
    input:
        "reports/metrics/puzzle_costs.json",
    message:
        "The cost model beside measurements of others"


rule puzzle_validate_costs:
    input:
        code=code("puzzle_cost_validation"),
    output:
        figures=[report_item(path, title) for path, title in COST_FIGURES.items()],
        tables=[report_item(path, title) for path, title in COST_TABLES.items()],
        results=report_item("reports/tables/puzzle_costs/results.md", "results in words"),
        metrics="reports/metrics/puzzle_costs.json",
    log:
        "logs/puzzle_cost_validation.log",
    benchmark:
        "logs/benchmarks/puzzle_cost_validation.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.cost_validation"),
    message:
        "Validate the cost model"
    shell:
        "python -m tessera.stages.puzzle_cost_validation --params {params.cfg:q} --figures {output.figures}"
        " --tables {output.tables} --results {output.results} --metrics {output.metrics} > {log} 2>&1"


rule puzzle_sensitivity:
    input:
        "reports/metrics/puzzle_sensitivity.json",
    message:
        "The search's choices when scores are drawn again"


rule puzzle_resample:
    input:
        scores=SCORES,
        costs="data/puzzle/costs/{target}.parquet",
        code=code("puzzle_sensitivity"),
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
        "python -m tessera.stages.puzzle_sensitivity --params {params.cfg:q} --target {wildcards.target}"
        " --scores {input.scores} --costs {input.costs} --sensitivity {output.sensitivity} 2>&1 | tee {log}"


rule puzzle_sensitivity_figure:
    input:
        sensitivity=expand("data/puzzle/sensitivity/{target}.json", target=TARGETS),
        code=code("puzzle_sensitivity_report"),
    output:
        figure=report_item("reports/figures/puzzle_sensitivity/choices.svg", "choices when scores are drawn again"),
        table=report_item("reports/tables/puzzle_sensitivity/draws.csv", "regret and changes by speed-up"),
        metrics="reports/metrics/puzzle_sensitivity.json",
    log:
        "logs/puzzle_sensitivity_report.log",
    benchmark:
        "logs/benchmarks/puzzle_sensitivity_report.tsv"
    threads: 1
    message:
        "Figure and table of the search's sensitivity"
    shell:
        "python -m tessera.stages.puzzle_sensitivity_report --sensitivity {input.sensitivity}"
        " --figure {output.figure} --table {output.table} --metrics {output.metrics} > {log} 2>&1"
