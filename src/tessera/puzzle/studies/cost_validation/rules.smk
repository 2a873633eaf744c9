# Cost validation: how good is the cost model where others have measured?


rule puzzle_cost_validation_report:
    input:
        code=code("puzzle_cost_validation_report"),
    output:
        **published(
            "puzzle_cost_validation",
            texts={"results": "the cost model and others' measurements"},
            tables={
                "throughput": "throughputs by workload",
                "interpolation": "errors of interpolation",
                "gpus": "errors of interpolation by GPU",
                "roofline": "variants and the datasheet's bound",
            },
            figures={
                "throughput": "throughput by the cost model and by NVIDIA",
                "interpolation": "interpolation of timed layouts",
                "roofline": "time and the datasheet's bound",
            },
        ),
    log:
        "logs/puzzle_cost_validation_report.log",
    benchmark:
        "logs/benchmarks/puzzle_cost_validation_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.cost_validation"),
        stage=stage("puzzle_cost_validation_report"),
    message:
        "Validate the cost model"
    shell:
        STAGE


rule puzzle_cost_validation:
    input:
        rules.puzzle_cost_validation_report.output,
    message:
        "The cost model compared with others' measurements"


DEFAULT_TARGETS.append("puzzle_cost_validation")
