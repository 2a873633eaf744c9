# What the children still can: items with several choices, text that they write, latency of a token. No part of `all`.

TASKS = PARAMS.puzzle_studies.tasks
FULL = "full"  # in place of a method: the kept child, which is healed in full
TASKS_EQUAL = [f"{target}-{method}" for target in TARGETS for method in TASKS.methods]
TASKS_FULL = [f"{target}-{FULL}" for target in TARGETS]
TASKS_ANSWERS = expand("data/puzzle_studies/tasks/answers/{model}.parquet", model=["parent", *TASKS_EQUAL, *TASKS_FULL])
KEPT_CHILDREN = expand("data/puzzle/children/{target}", target=TARGETS)


wildcard_constraints:
    model="|".join(["parent", *TASKS_EQUAL, *TASKS_FULL]),


def asked(wildcards):
    """Directory of the child that answers; none of the parent, which is an input of all."""
    if wildcards.model == "parent":
        return []
    target, _, method = wildcards.model.rpartition("-")
    kept = f"data/puzzle/children/{target}"
    return kept if method == FULL else f"data/puzzle_studies/tasks/healed/{target}/{method}"


rule puzzle_tasks:
    input:
        "reports/tables/puzzle_tasks/results.md",
        "reports/metrics/puzzle_tasks",
    message:
        "Children on task items, in text and in latency. Not in `all`"


rule puzzle_tasks_items:
    input:
        bigbench=os.path.relpath(os.path.join(workflow.basedir, "data/tasks/bigbench.zip")),
        evals=f"data/raw/{PACKAGES['evals'].file}",
        code=code("puzzle_tasks_items"),
    output:
        table="data/puzzle_studies/tasks/items.parquet",
    log:
        "logs/puzzle_tasks_items.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_items.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.tasks", "seed"),
    message:
        "Draw the task items"
    shell:
        "python -m tessera.puzzle.studies.tasks.stages.items --params {params.cfg:q} --bigbench {input.bigbench:q}"
        " --evals {input.evals} --items {output.table} > {log} 2>&1"


rule puzzle_tasks_heal:
    # As puzzle_heal does; its children are gone by now, and those of the chain would be evaluated again.
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        code=code("puzzle_heal"),
    output:
        child=temp(directory("data/puzzle_studies/tasks/healed/{target}/{method}")),
        curve=temp("data/puzzle_studies/tasks/curves/{target}/{method}.json"),
    log:
        "logs/puzzle_tasks_heal/{target}/{method}.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_heal/{target}/{method}.tsv"
    threads: PROCESSES
    resources:
        gpu=GPUS * PROCESSES,
    params:
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "seed"),
    message:
        "Heal the {wildcards.target} child of {wildcards.method} to ask it"
    shell:
        HEAL + " --method {wildcards.method} --schedule equal"
        " --checkpoint logs/checkpoints/tasks-{wildcards.target}-{wildcards.method}.safetensors 2>&1 | tee {log}"


rule puzzle_tasks_answers:
    # The parent's answers to all items choose metric and sets; of the others, the half that is reported is asked.
    input:
        child=asked,
        parent=PARENT,
        table="data/puzzle_studies/tasks/items.parquet",
        code=code("puzzle_tasks_answers"),
    output:
        answers="data/puzzle_studies/tasks/answers/{model}.parquet",
    log:
        "logs/puzzle_tasks_answers/{model}.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_answers/{model}.tsv"
    threads: 1
    params:
        cfg=section("data.tokens"),
        model=lambda wildcards: asked(wildcards) or "data/parent",
        half=lambda wildcards: "all" if wildcards.model == "parent" else "odd",
    message:
        "Ask {wildcards.model} the task items"
    shell:
        "python -m tessera.puzzle.studies.tasks.stages.answers --params {params.cfg:q} --model {params.model}"
        " --parent data/parent --items {input.table} --half {params.half} --answers {output.answers} 2>&1 | tee {log}"


rule puzzle_tasks_samples:
    input:
        parent=PARENT,
        children=KEPT_CHILDREN,
        tokens=TOKENS,
        code=code("puzzle_tasks_samples"),
    output:
        samples="data/puzzle_studies/tasks/samples.json",
    log:
        "logs/puzzle_tasks_samples.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_samples.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.tasks", "data.tokens", "seed"),
    message:
        "Text that parent and children write"
    shell:
        "python -m tessera.puzzle.studies.tasks.stages.samples --params {params.cfg:q} --parent data/parent"
        " --children {input.children} --tokens data/tokens --samples {output.samples} > {log} 2>&1"


rule puzzle_tasks_latency:
    input:
        parent=PARENT,
        children=KEPT_CHILDREN,
        code=code("puzzle_tasks_latency"),
    output:
        latency="data/puzzle_studies/tasks/latency.json",
    log:
        "logs/puzzle_tasks_latency.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_latency.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    params:
        cfg=section("puzzle_studies.tasks", "puzzle.costs"),
    message:
        "Latency of parent and children on this machine"
    shell:
        "python -m tessera.puzzle.studies.tasks.stages.latency --params {params.cfg:q} --parent data/parent"
        " --children {input.children} --latency {output.latency} 2>&1 | tee {log}"


rule puzzle_tasks_report:
    input:
        table="data/puzzle_studies/tasks/items.parquet",
        answers=TASKS_ANSWERS,
        evaluation=expand(
            "data/puzzle/evaluation/{target}-{method}.json",
            target=TARGETS,
            method=dict.fromkeys([KEPT, *TASKS.methods]),
        ),
        samples="data/puzzle_studies/tasks/samples.json",
        latency="data/puzzle_studies/tasks/latency.json",
        speed="data/puzzle/speed.json",
        code=code("puzzle_tasks_report"),
    output:
        results=old_item("reports/tables/puzzle_tasks/results.md", "results in words"),
        tasks=old_item("reports/tables/puzzle_tasks/tasks.csv", "accuracy by set"),
        texts=old_item("reports/tables/puzzle_tasks/samples.md", "texts that the models write"),
        figure=old_item("reports/figures/puzzle_tasks/retention.svg", "what the children retain"),
        metrics="reports/metrics/puzzle_tasks.json",
        runs=directory("reports/metrics/puzzle_tasks"),
    log:
        "logs/puzzle_tasks_report.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.tasks", "seed"),
    message:
        "Tables and figure of the task items, and their runs"
    shell:
        "python -m tessera.puzzle.studies.tasks.stages.report --params {params.cfg:q} --items {input.table}"
        " --answers {input.answers} --evaluation {input.evaluation} --samples {input.samples}"
        " --latency {input.latency} --speed {input.speed} --results {output.results} --tasks {output.tasks}"
        " --texts {output.texts} --metrics {output.metrics} --runs {output.runs} --figure {output.figure}"
        " > {log} 2>&1"
