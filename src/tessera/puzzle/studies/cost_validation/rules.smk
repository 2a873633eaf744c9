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
        code=code("puzzle_cost_validation_report"),
    output:
        figures=[old_item(path, title) for path, title in COST_FIGURES.items()],
        tables=[old_item(path, title) for path, title in COST_TABLES.items()],
        results=old_item("reports/tables/puzzle_costs/results.md", "results in words"),
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
        "python -m tessera.puzzle.studies.cost_validation.stages.report --params {params.cfg:q} --figures {output.figures}"
        " --tables {output.tables} --results {output.results} --metrics {output.metrics} > {log} 2>&1"


DEFAULT_TARGETS.append("puzzle_cost_validation")
