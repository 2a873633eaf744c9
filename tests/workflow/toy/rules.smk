# Toy: random walks -> report.

TOY = {"walks": expand("data/toy/{name}.csv", name=PARAMS.toy.walks)}


rule toy_walks:
    input:
        code=code("toy_walks"),
    output:
        table="data/toy/{name}.csv",
    log:
        "logs/toy_walks/{name}.log",
    benchmark:
        "logs/benchmarks/toy_walks/{name}.tsv"
    threads: 1
    params:
        cfg=section("toy", "seed"),
        stage=stage("toy_walks"),
    message:
        "Random walks, set {wildcards.name}"
    shell:
        STAGE


rule toy_report:
    input:
        **TOY,
        code=code("toy_report"),
    output:
        **published(
            "toy", texts={"results": "distances"}, figures={"distance": "distance by step"}, shown=("distance",)
        ),
    log:
        "logs/toy_report.log",
    benchmark:
        "logs/benchmarks/toy_report.tsv"
    threads: 1
    params:
        cfg=section("toy"),
        stage=stage("toy_report"),
    message:
        "Table, figure and runs of the random walks"
    shell:
        STAGE


rule toy:
    input:
        rules.toy_report.output,
    message:
        "Random walks, up to the report"
