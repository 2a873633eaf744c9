# GPUs: how does one library's child move from one GPU to another?


rule puzzle_gpus_choose:
    input:
        scores=SCORES,
        config="data/parent/config.json",
        code=code("puzzle_gpus_choose"),
    output:
        choices="data/puzzle/gpus.json",
    log:
        "logs/puzzle_gpus_choose.log",
    benchmark:
        "logs/benchmarks/puzzle_gpus_choose.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.gpus", "puzzle.space"),
        stage=stage("puzzle_gpus_choose"),
    message:
        "Search the scores with the times of several GPUs"
    shell:
        STAGE


rule puzzle_gpus_report:
    input:
        choices="data/puzzle/gpus.json",
        code=code("puzzle_gpus_report"),
    output:
        **published(
            "puzzle_gpus",
            tables={"children": "children and times by GPU"},
            figures={"children": "one library's child on several GPUs"},
            shown=("children",),
        ),
    log:
        "logs/puzzle_gpus_report.log",
    benchmark:
        "logs/benchmarks/puzzle_gpus_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_extras.gpus"),
        stage=stage("puzzle_gpus_report"),
    message:
        "Figure, table and runs of the children on GPUs"
    shell:
        STAGE


rule puzzle_gpus:
    input:
        rules.puzzle_gpus_report.output,
    message:
        "One library's child on several GPUs"


DEFAULT_TARGETS.append("puzzle_gpus")
