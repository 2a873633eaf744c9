# Tasks: what task accuracy do the children keep, what text do they write, how long does a token take? Not part of `all`.

from tessera.data.items import SETS

TASKS = PARAMS.puzzle_studies.tasks
FULL = "full"  # in place of a method: the kept child, which is healed in full
TASKS_EQUAL = [f"{target}-{method}" for target in TARGETS for method in TASKS.methods]
TASKS_FULL = [f"{target}-{FULL}" for target in TARGETS]
TASK_ITEMS = "data/puzzle_studies/tasks/items.parquet"
PARENT_ANSWERS = "data/puzzle_studies/tasks/answers/parent.parquet"
KEPT_CHILDREN = expand("data/puzzle/children/{target}", target=TARGETS)

try:
    OWN_ITEMS = [
        path
        for name, items in TASKS.own.items()
        for path in own_files.expanded(items.files, workflow.basedir, f"puzzle_studies.tasks: {name}.files")
    ]
except ValueError as error:
    raise WorkflowError(str(error))

# What the report reads, by the arguments of its stage.
TASKS_FILES = {
    "table": TASK_ITEMS,
    "answers": [
        PARENT_ANSWERS,
        *expand("data/puzzle_studies/tasks/answers/{model}.parquet", model=[*TASKS_EQUAL, *TASKS_FULL]),
    ],
    "evaluation": expand(
        "data/puzzle/evaluation/{target}-{method}.json",
        target=TARGETS,
        method=dict.fromkeys([KEPT, *TASKS.methods]),
    ),
    "samples": "data/puzzle_studies/tasks/samples.json",
    "latency": "data/puzzle_studies/tasks/latency.json",
    "speed": "data/puzzle/speed.json",
}


wildcard_constraints:
    model="|".join(["parent", *TASKS_EQUAL, *TASKS_FULL]),


def asked(wildcards):
    """Directory of the child that answers; none for the parent, which is an input of all."""
    if wildcards.model == "parent":
        return []
    target, _, method = wildcards.model.rpartition("-")
    kept = f"data/puzzle/children/{target}"
    return kept if method == FULL else f"data/puzzle_studies/tasks/healed/{target}/{method}"


def task_package(wildcards):
    """The package that some of the sets are in, if one of them is asked."""
    names = {name for sets in TASKS.groups.values() for name in sets} - TASKS.own.keys()
    asked_for = any(SETS[name].source == "evals" for name in names)
    return {"evals": f"data/raw/{PACKAGES['evals'].file}"} if asked_for else {}


rule puzzle_tasks_items:
    input:
        OWN_ITEMS,
        unpack(task_package),
        bigbench=os.path.relpath(os.path.join(workflow.basedir, "data/tasks/bigbench.zip")),
        code=code("puzzle_tasks_items"),
    output:
        table=TASK_ITEMS,
    log:
        "logs/puzzle_tasks_items.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_items.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.tasks", "seed"),
        stage=stage("puzzle_tasks_items", root=os.path.relpath(workflow.basedir)),
    message:
        "Draw the task items"
    shell:
        STAGE


rule puzzle_tasks_heal:
    # As puzzle_heal does: its children are deleted by now, and those of the chain would be evaluated again.
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
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "puzzle.compute", "seed"),
        stage=stage(
            "puzzle_heal",
            schedule="equal",
            checkpoint=lambda wildcards: f"logs/checkpoints/tasks-{wildcards.target}-{wildcards.method}.safetensors",
            teacher_cache=TEACHER,
        ),
    message:
        "Heal the {wildcards.target} child of {wildcards.method} to ask it"
    shell:
        HEAL_STAGE


rule puzzle_tasks_answers:
    # The parent's answers to all items choose metric and sets; the others are asked the half that is reported.
    input:
        asked,
        parent=PARENT,
        table=TASK_ITEMS,
        code=code("puzzle_tasks_answers"),
    output:
        answers="data/puzzle_studies/tasks/answers/{model}.parquet",
    log:
        "logs/puzzle_tasks_answers/{model}.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_answers/{model}.tsv"
    threads: 1
    resources:
        gpu=SPREAD_GPUS,
    params:
        cfg=section("puzzle.compute", "data.tokens"),
        stage=stage(
            "puzzle_tasks_answers",
            model=lambda wildcards: asked(wildcards) or "data/parent",
            half=lambda wildcards: "all" if wildcards.model == "parent" else "odd",
        ),
    message:
        "Ask {wildcards.model} the task items"
    shell:
        STAGE


rule puzzle_tasks_samples:
    input:
        parent=PARENT,
        children=KEPT_CHILDREN,
        tokens=TOKENS,
        code=code("puzzle_tasks_samples"),
    output:
        samples=TASKS_FILES["samples"],
    log:
        "logs/puzzle_tasks_samples.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_samples.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.tasks", "data.tokens", "seed"),
        stage=stage("puzzle_tasks_samples"),
    message:
        "Text that parent and children write"
    shell:
        STAGE


rule puzzle_tasks_latency:
    input:
        parent=PARENT,
        children=KEPT_CHILDREN,
        code=code("puzzle_tasks_latency"),
    output:
        latency=TASKS_FILES["latency"],
    log:
        "logs/puzzle_tasks_latency.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_latency.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    resources:
        gpu=SERVING_GPUS,
    params:
        cfg=section("puzzle_studies.tasks", "puzzle.costs", "puzzle.compute"),
        stage=stage("puzzle_tasks_latency"),
    message:
        "Latency of parent and children on this machine"
    shell:
        STAGE


rule puzzle_tasks_report:
    input:
        **TASKS_FILES,
        code=code("puzzle_tasks_report"),
    output:
        **published(
            "puzzle_tasks",
            texts={"results": "what the children retain", "samples": "texts that the models write"},
            tables={"tasks": "accuracy by set"},
            figures={"retention": "what the children retain"},
            shown=("retention",),
        ),
    log:
        "logs/puzzle_tasks_report.log",
    benchmark:
        "logs/benchmarks/puzzle_tasks_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.tasks", "seed"),
        stage=stage("puzzle_tasks_report"),
    message:
        "Tables, figure and runs of the task items"
    shell:
        STAGE


rule puzzle_tasks:
    input:
        rules.puzzle_tasks_report.output,
    message:
        "Children on task items, in text and in latency. Not part of `all`"
