# What the studies found, in one place: runs in MLflow. `make report` puts figures, tables and code on one page.


rule tracking:
    input:
        studies=rules.puzzle.input,
        code=code("tracking"),
    output:
        imported="build/runs.json",
    log:
        "logs/tracking.log",
    benchmark:
        "logs/benchmarks/tracking.tsv"
    threads: 1
    message:
        "Import the runs into MLflow"
    shell:
        "python -m tessera.stages.tracking --imported {output.imported} > {log} 2>&1"
