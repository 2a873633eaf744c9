# Puzzle: parent and text -> block library -> scores and costs -> search -> children, healed -> evaluation and speed.

COSTS = PARAMS.puzzle.costs
TARGETS = list(COSTS.targets)
METHODS = list(PARAMS.puzzle.search.methods)
KEPT = METHODS[0]  # the method whose children are healed in full and kept
# Methods whose frontiers are run: the kept one's, and the paper's beside it.
RUN = [method for method in METHODS if method in (KEPT, "mip")]
# What may be deleted; it would be computed again to the same digits.
KEPT_SCORES = "logs/scores"  # scores by their content
TEACHER = "logs/teacher"  # the parent's hidden states, if heal.teacher = cache

# All of data/tokens.
TOKENS = [*rules.data_tokens.output.streams, rules.data_tokens.output.documents, *rules.data_tokens.output.loss]
SHARDS = expand("data/puzzle/activations/{shard}", shard=range(PARAMS.puzzle.calibration.shards))
# What the block library is built from.
STATES = {"activations": [], "tokens": TOKENS} if PARAMS.puzzle.library.stream else {"activations": SHARDS}
LIBRARY = expand("data/puzzle/library/part_{part}", part=range(PARAMS.puzzle.library.jobs))
SCORES = expand("data/puzzle/scores/part_{part}.json", part=range(PARAMS.puzzle.scores.jobs))
LIBRARIES = expand("data/puzzle/search/{target}/block_library.json", target=TARGETS)

# What the report reads, by the arguments of its stage.
PUZZLE = {
    "library": LIBRARY,
    "scores": SCORES,
    "costs": expand("data/puzzle/costs/{target}.parquet", target=TARGETS),
    "frontier": expand("data/puzzle/frontier/{target}.json", target=TARGETS),
    "children": expand("data/puzzle/search/{target}/children.json", target=TARGETS),
    "curves": expand("data/puzzle/curves/{target}/{method}.json", target=TARGETS, method=[*METHODS, "full"]),
    "evaluation": expand("data/puzzle/evaluation/{target}-{method}.json", target=TARGETS, method=METHODS),
    "speed": "data/puzzle/speed.json",
}
if PARAMS.puzzle.refit.tokens:
    PUZZLE["refits"] = expand("data/puzzle/refits/{target}.json", target=TARGETS)


wildcard_constraints:
    target="|".join(TARGETS),
    method="|".join(METHODS),
    shard=r"\d+",
    part=r"\d+",


# GPUs of a job that runs models: SLURM gives a job its own, on one machine compute.start finds a free one.
GPUS = int(PARAMS.puzzle.compute.device == "cuda")
# Of a job that holds whole models, whose layers may be spread.
SPREAD_GPUS = GPUS * PARAMS.puzzle.compute.gpus


def on_gpu(*targets):
    """GPUs of a job that times models for some targets: 1 if one of them is measured on a GPU."""
    return int(any(COSTS.targets[target].hardware == "cuda" for target in targets))


# GPUs of a job that serves models: those of the measured targets, or of all jobs if none is measured.
SERVING_GPUS = on_gpu(*COSTS.measured) if COSTS.measured else GPUS


def cost_target(key):
    """The cost target that a parameter of a study names; with null the first measured one, or else the first."""
    try:
        return COSTS.named(params.section(PARAMS, key), key)
    except ValueError as error:
        raise WorkflowError(str(error))


rule puzzle_library:
    input:
        LIBRARY,
    message:
        "Every variant of every layer, initialised and distilled"


rule puzzle_scores:
    input:
        SCORES,
    message:
        "Replace-one-block scores of every variant"


rule puzzle_costs:
    input:
        PUZZLE["costs"],
    message:
        "Cost tables of every target"


rule puzzle_search:
    input:
        PUZZLE["children"],
    message:
        "Frontiers and choices of every target"


rule puzzle_child:
    input:
        expand("data/puzzle/children/{target}", target=TARGETS),
        PUZZLE["evaluation"],
    message:
        "The children of every method, healed and evaluated; one child per target is kept"


rule puzzle_evaluate:
    input:
        PUZZLE["frontier"],
        PUZZLE["speed"],
    message:
        "The frontier as measured, and time and memory on this machine"


rule puzzle_parent:
    input:
        source=parent_files(),
        code=code("puzzle_parent"),
    output:
        parent=PARENT,
        admission="data/puzzle/admission.json",
    log:
        "logs/puzzle_parent.log",
    benchmark:
        "logs/benchmarks/puzzle_parent.tsv"
    threads: 1
    params:
        cfg=section("data.parent", member=member(PACKAGES.get(PARENT_NAME), "gguf")),
        stage=stage("puzzle_parent"),
    message:
        "Make the parent out of {params.cfg}"
    shell:
        STAGE


rule puzzle_space:
    # A space that the parent cannot have is refused before the long jobs.
    input:
        parent=PARENT,
        admission="data/puzzle/admission.json",
        code=code("puzzle_space"),
    output:
        checked="data/puzzle/space.json",
    log:
        "logs/puzzle_space.log",
    benchmark:
        "logs/benchmarks/puzzle_space.tsv"
    threads: 1
    params:
        cfg=section("puzzle.space"),
        stage=stage("puzzle_space"),
    message:
        "Check the space against the parent"
    shell:
        STAGE


rule puzzle_activations:
    # They are deleted when there is a library, so that another space needs them again anyway.
    input:
        "data/puzzle/space.json",
        parent=PARENT,
        tokens=TOKENS,
        code=code("puzzle_activations"),
    output:
        activations=temp(directory("data/puzzle/activations/{shard}")),
    log:
        "logs/puzzle_activations/{shard}.log",
    benchmark:
        "logs/benchmarks/puzzle_activations/{shard}.tsv"
    threads: 1
    resources:
        gpu=SPREAD_GPUS,
    params:
        cfg=section("puzzle.calibration", "puzzle.library.valid_windows", "puzzle.compute", "seed"),
        stage=stage("puzzle_activations"),
    message:
        "Parent's activations, shard {wildcards.shard}"
    shell:
        STAGE


rule puzzle_library_part:
    input:
        **STATES,
        parent=PARENT,
        code=code("puzzle_library_part"),
    output:
        library=directory("data/puzzle/library/part_{part}"),
    log:
        "logs/puzzle_library_part/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_library_part/{part}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.library", "puzzle.compute", "seed"),
        stage=stage("puzzle_library_part"),
    message:
        "Block library, part {wildcards.part}"
    shell:
        STAGE


rule puzzle_scores_part:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        code=code("puzzle_scores_part"),
    output:
        scores="data/puzzle/scores/part_{part}.json",
    log:
        "logs/puzzle_scores_part/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_scores_part/{part}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_scores_part", cache=KEPT_SCORES),
    message:
        "Scores, part {wildcards.part}"
    shell:
        STAGE


rule puzzle_costs_target:
    input:
        config="data/parent/config.json",
        code=code("puzzle_costs_target"),
    output:
        table="data/puzzle/costs/{target}.parquet",
        info="data/puzzle/costs/{target}.json",
    log:
        "logs/puzzle_costs_target/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_costs_target/{target}.tsv"
    # Costs are measured on a machine that does nothing else.
    threads: workflow.cores
    resources:
        gpu=lambda wildcards: on_gpu(wildcards.target),
    params:
        # The space and one target, so that changing another target does not invalidate this one.
        cfg=lambda wildcards: canonical({"space": "puzzle.space", "target": f"puzzle.costs.targets.{wildcards.target}"}),
        stage=stage("puzzle_costs_target"),
    message:
        "Costs on {wildcards.target}"
    shell:
        STAGE


# With what the optima of several cosines are run, if there are several.
RANKED = {"parent": PARENT, "tokens": TOKENS, "variants": LIBRARY} if len(PARAMS.puzzle.search.cosines) > 1 else {}


rule puzzle_search_target:
    input:
        **RANKED,
        scores=SCORES,
        costs="data/puzzle/costs/{target}.parquet",
        code=code("puzzle_search_target"),
    output:
        library="data/puzzle/search/{target}/block_library.json",
        measurement_info="data/puzzle/search/{target}/measurement_info.json",
        frontier="data/puzzle/search/{target}/frontier.json",
        frontier_table="data/puzzle/search/{target}/frontier.csv",
        children="data/puzzle/search/{target}/children.json",
    log:
        "logs/puzzle_search_target/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_search_target/{target}.tsv"
    threads: 1
    resources:
        gpu=SPREAD_GPUS if RANKED else 0,
    params:
        cfg=section("puzzle.search", "puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_search_target"),
    message:
        "Search for {wildcards.target}"
    shell:
        STAGE


rule puzzle_refit:
    # Healing of the kept child begins with it.
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        code=code("puzzle_refit"),
    output:
        child=temp(directory("data/puzzle/refitted/{target}")),
        fits="data/puzzle/refits/{target}.json",
    log:
        "logs/puzzle_refit/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_refit/{target}.tsv"
    priority: 1
    threads: 1
    resources:
        gpu=SPREAD_GPUS,
    params:
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.refit", "puzzle.compute", "seed"),
        stage=stage("puzzle_refit", method=KEPT),
    message:
        "Refit the {wildcards.target} child"
    shell:
        STAGE


# With what healing in full begins, if not with the child as assembled.
REFITTED = {"refitted": "data/puzzle/refitted/{target}"} if PARAMS.puzzle.refit.tokens else {}
PROCESSES = PARAMS.puzzle.heal.processes
# One thread per process, of those that Snakemake gives the job.
TORCHRUN = f"OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 torchrun --standalone --nproc-per-node {PROCESSES}"
# As STAGE, for the stages that heal.
HEAL_STAGE = STAGE if PROCESSES == 1 else STAGE.replace("python", TORCHRUN, 1)


rule puzzle_heal:
    # The equal healing by which methods are compared; its children are not kept.
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        code=code("puzzle_heal"),
    output:
        child=temp(directory("data/puzzle/healed/{target}/{method}")),
        curve="data/puzzle/curves/{target}/{method}.json",
    log:
        "logs/puzzle_heal/{target}/{method}.log",
    benchmark:
        "logs/benchmarks/puzzle_heal/{target}/{method}.tsv"
    threads: PROCESSES
    resources:
        gpu=GPUS * PROCESSES,
    params:
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "puzzle.compute", "seed"),
        stage=stage(
            "puzzle_heal",
            schedule="equal",
            checkpoint=lambda wildcards: f"logs/checkpoints/{wildcards.target}-{wildcards.method}.safetensors",
            teacher_cache=TEACHER,
        ),
    message:
        "Heal the {wildcards.target} child of {wildcards.method}"
    shell:
        HEAL_STAGE


rule puzzle_heal_full:
    # The longest jobs of all start first, so that no core waits for one at the end.
    input:
        **REFITTED,
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        code=code("puzzle_heal"),
    output:
        child=directory("data/puzzle/children/{target}"),
        curve="data/puzzle/curves/{target}/full.json",
    log:
        "logs/puzzle_heal_full/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_heal_full/{target}.tsv"
    priority: 1
    threads: PROCESSES
    resources:
        gpu=GPUS * PROCESSES,
    params:
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "puzzle.compute", "seed"),
        stage=stage(
            "puzzle_heal",
            method=KEPT,
            schedule="full",
            checkpoint=lambda wildcards: f"logs/checkpoints/{wildcards.target}-full.safetensors",
            teacher_cache=TEACHER,
        ),
    message:
        "Heal the {wildcards.target} child in full"
    shell:
        HEAL_STAGE


def healed(wildcards):
    """Refitted and healed children of one method, by the name of what was done."""
    equal = {"equal": f"data/puzzle/healed/{wildcards.target}/{wildcards.method}"}
    if wildcards.method != KEPT:
        return equal
    refitted = {name: path.format(target=wildcards.target) for name, path in REFITTED.items()}
    return {**refitted, **equal, "full": f"data/puzzle/children/{wildcards.target}"}


rule puzzle_evaluate_child:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        children=lambda wildcards: healed(wildcards).values(),
        code=code("puzzle_evaluate_child"),
    output:
        metrics="data/puzzle/evaluation/{target}-{method}.json",
    log:
        "logs/puzzle_evaluate_child/{target}-{method}.log",
    benchmark:
        "logs/benchmarks/puzzle_evaluate_child/{target}-{method}.tsv"
    threads: 1
    resources:
        gpu=SPREAD_GPUS,
    params:
        cfg=section("puzzle.space", "puzzle.evaluate", "data", "puzzle.compute", "seed"),
        stage=stage("puzzle_evaluate_child", states=lambda wildcards: list(healed(wildcards))),
    message:
        "Evaluate the {wildcards.target} child of {wildcards.method}"
    shell:
        STAGE


rule puzzle_frontier:
    input:
        parent=PARENT,
        tokens=TOKENS,
        frontier="data/puzzle/search/{target}/frontier.json",
        library=LIBRARY,
        code=code("puzzle_frontier"),
    output:
        metrics="data/puzzle/frontier/{target}.json",
    log:
        "logs/puzzle_frontier/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_frontier/{target}.tsv"
    threads: 1
    resources:
        gpu=SPREAD_GPUS,
    params:
        cfg=section("puzzle.space", "puzzle.scores", "puzzle.search", "puzzle.compute", "seed"),
        stage=stage("puzzle_frontier", methods=RUN),
    message:
        "Measure the children of the {wildcards.target} frontier"
    shell:
        STAGE


rule puzzle_speed:
    input:
        parent=PARENT,
        children=expand("data/puzzle/children/{target}", target=TARGETS),
        costs=PUZZLE["costs"],
        choices=PUZZLE["children"],
        code=code("puzzle_speed"),
    output:
        metrics="data/puzzle/speed.json",
    log:
        "logs/puzzle_speed.log",
    benchmark:
        "logs/benchmarks/puzzle_speed.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    resources:
        gpu=SERVING_GPUS,
    params:
        cfg=section("puzzle.costs", "puzzle.compute", "puzzle.speed"),
        stage=stage("puzzle_speed", method=KEPT),
    message:
        "Time and memory of parent and children on this machine"
    shell:
        STAGE


rule puzzle_report:
    input:
        **PUZZLE,
        code=code("puzzle_report"),
    output:
        **published(
            "puzzle",
            texts={"results": "results in words"},
            tables={
                "results": "results in numbers",
                "evaluation": "quality by domain",
                "frontier": "points of the frontiers",
                "costs": "costs of the variants",
                "library": "losses and scores of the variants",
            },
            figures={
                "frontier": "frontier and baselines",
                "choices": "variants chosen, by layer and throughput",
                "layer_costs": "time of each layer of the children",
                "evaluation": "quality before and after healing",
                "prediction": "predicted against measured",
                "scores": "scores of the variants",
                "library": "losses of the block library",
                "training": "training of the block library",
                "healing": "healing of the children",
            },
            shown=("frontier",),
        ),
    log:
        "logs/puzzle_report.log",
    benchmark:
        "logs/benchmarks/puzzle_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle", "seed"),
        stage=stage("puzzle_report"),
    message:
        "Tables, figures and runs of the main chain"
    shell:
        STAGE


rule puzzle:
    input:
        rules.puzzle_report.output,
    message:
        "The main chain, from the parent to healed children and their report"


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
        speed=PUZZLE["speed"],
        code=code("puzzle_export_child"),
    output:
        export=directory("data/puzzle/export/{target}"),
    log:
        "logs/puzzle_export_child/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_export_child/{target}.tsv"
    threads: 1
    params:
        cfg=section(
            "puzzle_extras.export",
            "data.parent",
            member=member(PACKAGES.get(PARENT_NAME), "gguf"),
            sources={
                source: {"package": package.name, "content": package.content}
                for source in SOURCES
                if source not in OWN
                for package in [packages.holding(PACKAGES, source)]
            }
            | {
                source: {
                    "package": "files of the author's own",
                    "content": PARAMS.data.text.sources[source].licence or "not stated",
                }
                for source in OWN
                if source in SOURCES
            },
        ),
        stage=stage("puzzle_export_child", method=KEPT),
    message:
        "Export the {wildcards.target} child"
    shell:
        STAGE
