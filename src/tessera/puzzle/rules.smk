# Puzzle: parent and text -> block library -> scores and costs -> search -> children, healed -> evaluation and speed.

TARGETS = list(PARAMS.puzzle.costs.targets)
METHODS = list(PARAMS.puzzle.search.methods)
KEPT = "mip"  # the method whose children are healed in full and kept
# What may be deleted: it would be computed again to the same digits.
KEPT_SCORES = "logs/scores"  # scores by their content
TEACHER = "logs/teacher"  # the parent's hidden states, where params ask healing to keep them

TOKENS = [*rules.data_tokens.output.streams, rules.data_tokens.output.documents]  # of data/tokens
SHARDS = expand("data/puzzle/activations/{shard}", shard=range(PARAMS.puzzle.calibration.shards))
LIBRARY = expand("data/puzzle/library/part_{part}", part=range(PARAMS.puzzle.library.jobs))
SCORES = expand("data/puzzle/scores/part_{part}.json", part=range(PARAMS.puzzle.scores.jobs))
LIBRARIES = expand("data/puzzle/search/{target}/block_library.json", target=TARGETS)

# Figures and tables of report.smk, with what each shows.
PUZZLE_FIGURES = {
    "reports/figures/puzzle/frontier.svg": "frontier and baselines",
    "reports/figures/puzzle/choices.svg": "variants chosen, by layer and throughput",
    "reports/figures/puzzle/layer_costs.svg": "time of each layer of the children",
    "reports/figures/puzzle/evaluation.svg": "quality before and after healing",
    "reports/figures/puzzle/prediction.svg": "predicted against measured",
    "reports/figures/puzzle/scores.svg": "scores of the variants",
    "reports/figures/puzzle/library.svg": "losses of the block library",
    "reports/figures/puzzle/training.svg": "training of the block library",
    "reports/figures/puzzle/healing.svg": "healing of the children",
}
PUZZLE_TABLES = {
    "reports/tables/puzzle/results.csv": "results in numbers",
    "reports/tables/puzzle/evaluation.csv": "quality by domain",
    "reports/tables/puzzle/frontier.csv": "points of the frontiers",
    "reports/tables/puzzle/costs.csv": "costs of the variants",
    "reports/tables/puzzle/library.csv": "losses and scores of the variants",
}
PUZZLE_REPORT = [
    "reports/tables/puzzle/results.md",
    *PUZZLE_TABLES,
    *PUZZLE_FIGURES,
    "reports/metrics/puzzle.json",
    "reports/metrics/puzzle",
]


wildcard_constraints:
    target="|".join(TARGETS),
    method="|".join(METHODS),
    shard=r"\d+",
    part=r"\d+",


rule puzzle:
    input:
        PUZZLE_REPORT,
    message:
        "The main chain, from the parent to healed children and their report"


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
        expand("data/puzzle/costs/{target}.parquet", target=TARGETS),
    message:
        "Cost tables of every target"


rule puzzle_search:
    input:
        expand("data/puzzle/search/{target}/children.json", target=TARGETS),
    message:
        "Frontiers and choices of every target"


rule puzzle_child:
    input:
        expand("data/puzzle/children/{target}", target=TARGETS),
        expand("data/puzzle/evaluation/{target}-{method}.json", target=TARGETS, method=METHODS),
    message:
        "The children of every method, healed and evaluated, of which one a target is kept"


rule puzzle_evaluate:
    input:
        expand("data/puzzle/frontier/{target}.json", target=TARGETS),
        "data/puzzle/speed.json",
    message:
        "The frontier as measured, and time and memory on this machine"


rule puzzle_parent:
    input:
        source=parent_files(),
        code=code("puzzle_parent"),
    output:
        parent=PARENT,
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


rule puzzle_activations:
    input:
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
    params:
        cfg=section("puzzle.calibration", "puzzle.library.valid_windows", "seed"),
    message:
        "Parent's activations, shard {wildcards.shard}"
    shell:
        "python -m tessera.puzzle.stages.activations --params {params.cfg:q} --shard {wildcards.shard}"
        " --parent data/parent --tokens data/tokens --activations {output.activations} 2>&1 | tee {log}"


rule puzzle_layers:
    input:
        parent=PARENT,
        activations=SHARDS,
        code=code("puzzle_library"),
    output:
        library=directory("data/puzzle/library/part_{part}"),
    log:
        "logs/puzzle_library/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_library/{part}.tsv"
    threads: 1
    params:
        cfg=section("puzzle.space", "puzzle.library", "seed"),
    message:
        "Block library, part {wildcards.part}"
    shell:
        "python -m tessera.puzzle.stages.library --params {params.cfg:q} --part {wildcards.part}"
        " --parent data/parent --activations {input.activations}"
        " --library {output.library} 2>&1 | tee {log}"


rule puzzle_score:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        code=code("puzzle_scores"),
    output:
        scores="data/puzzle/scores/part_{part}.json",
    log:
        "logs/puzzle_scores/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_scores/{part}.tsv"
    threads: 1
    params:
        cfg=section("puzzle.space", "puzzle.scores", "seed"),
    message:
        "Scores, part {wildcards.part}"
    shell:
        "python -m tessera.puzzle.stages.scores --params {params.cfg:q} --part {wildcards.part}"
        " --parent data/parent --tokens data/tokens --library {input.library} --scores {output.scores}"
        f" --cache {KEPT_SCORES}"
        " 2>&1 | tee {log}"


def cost_target(wildcards):
    """The space and one target, as one canonical text: a change of another target is none of this one's."""
    sections = {"space": "puzzle.space", "target": f"puzzle.costs.targets.{wildcards.target}"}
    text = files.to_json({key: params.section(PARAMS, name) for key, name in sections.items()}, indent=None)
    SECTIONS.setdefault(text, set()).update(sections.values())
    return text


rule puzzle_cost:
    input:
        parent=PARENT,
        code=code("puzzle_costs"),
    output:
        table="data/puzzle/costs/{target}.parquet",
        info="data/puzzle/costs/{target}.json",
    log:
        "logs/puzzle_costs/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_costs/{target}.tsv"
    # Measured costs are of a machine that does nothing else.
    threads: workflow.cores
    params:
        cfg=cost_target,
    message:
        "Costs on {wildcards.target}"
    shell:
        "python -m tessera.puzzle.stages.costs --params {params.cfg:q} --config data/parent/config.json"
        " --table {output.table} --info {output.info} 2>&1 | tee {log}"


rule puzzle_choose:
    input:
        scores=SCORES,
        costs="data/puzzle/costs/{target}.parquet",
        code=code("puzzle_search"),
    output:
        library="data/puzzle/search/{target}/block_library.json",
        measurement_info="data/puzzle/search/{target}/measurement_info.json",
        frontier="data/puzzle/search/{target}/frontier.json",
        frontier_table="data/puzzle/search/{target}/frontier.csv",
        children="data/puzzle/search/{target}/children.json",
    log:
        "logs/puzzle_search/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_search/{target}.tsv"
    threads: 1
    params:
        cfg=section("puzzle.search", "seed"),
    message:
        "Search for {wildcards.target}"
    shell:
        "python -m tessera.puzzle.stages.search --params {params.cfg:q} --target {wildcards.target}"
        " --scores {input.scores} --costs {input.costs} --library {output.library}"
        " --measurement-info {output.measurement_info} --frontier {output.frontier}"
        " --frontier-table {output.frontier_table} --children {output.children} 2>&1 | tee {log}"


PROCESSES = PARAMS.puzzle.heal.processes
GPUS = int(PARAMS.puzzle.heal.device == "cuda")  # of one process that heals
# One thread per process, of those that Snakemake gives the job.
TORCHRUN = f"OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 torchrun --standalone --nproc-per-node {PROCESSES}"
# As STAGE, for the stages that heal.
HEAL_STAGE = STAGE if PROCESSES == 1 else STAGE.replace("python", TORCHRUN, 1)
# For rules that are not converted yet.
HEAL = (
    ("python" if PROCESSES == 1 else TORCHRUN)
    + " -m tessera.puzzle.stages.heal --params {params.cfg:q} --parent data/parent --tokens data/tokens"
    " --choices {input.choices} --library {input.library} --child {output.child} --curve {output.curve}"
    f" --teacher-cache {TEACHER}"
)


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
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "seed"),
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
    # The longest jobs of all: begun first, so that no core waits for one at the end.
    input:
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
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "seed"),
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
    """Healed children of one method, by the name of their schedule."""
    found = {"equal": f"data/puzzle/healed/{wildcards.target}/{wildcards.method}"}
    return found | ({"full": f"data/puzzle/children/{wildcards.target}"} if wildcards.method == KEPT else {})


rule puzzle_evaluate_child:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        children=lambda wildcards: healed(wildcards).values(),
        code=code("puzzle_evaluate"),
    output:
        metrics="data/puzzle/evaluation/{target}-{method}.json",
    log:
        "logs/puzzle_evaluate/{target}-{method}.log",
    benchmark:
        "logs/benchmarks/puzzle_evaluate/{target}-{method}.tsv"
    threads: 1
    params:
        cfg=section("puzzle.space", "puzzle.evaluate", "data", "seed"),
        states=lambda wildcards: " ".join(healed(wildcards)),
    message:
        "Evaluate the {wildcards.target} child of {wildcards.method}"
    shell:
        "python -m tessera.puzzle.stages.evaluate --params {params.cfg:q} --method {wildcards.method}"
        " --parent data/parent --tokens data/tokens --choices {input.choices} --library {input.library}"
        " --children {input.children} --states {params.states} --metrics {output.metrics} 2>&1 | tee {log}"


rule puzzle_measure_frontier:
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
    params:
        cfg=section("puzzle.space", "puzzle.scores", "seed"),
    message:
        "Measure the children of the {wildcards.target} frontier"
    shell:
        "python -m tessera.puzzle.stages.frontier --params {params.cfg:q} --parent data/parent"
        f" --method {KEPT}"
        " --tokens data/tokens --frontier {input.frontier} --library {input.library}"
        " --metrics {output.metrics} 2>&1 | tee {log}"


rule puzzle_speed:
    input:
        parent=PARENT,
        children=expand("data/puzzle/children/{target}", target=TARGETS),
        costs=expand("data/puzzle/costs/{target}.parquet", target=TARGETS),
        choices=expand("data/puzzle/search/{target}/children.json", target=TARGETS),
        code=code("puzzle_speed"),
    output:
        metrics="data/puzzle/speed.json",
    log:
        "logs/puzzle_speed.log",
    benchmark:
        "logs/benchmarks/puzzle_speed.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    params:
        cfg=section("puzzle.costs", "puzzle.speed"),
    message:
        "Time and memory of parent and children on this machine"
    shell:
        f"python -m tessera.puzzle.stages.speed --params {{params.cfg:q}} --method {KEPT}"
        " --parent data/parent --children {input.children} --costs {input.costs} --choices {input.choices}"
        " --metrics {output.metrics} 2>&1 | tee {log}"


# What the report of the Puzzle chain is made of.
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
PUZZLE_ARGUMENTS = (
    " --library {input.library} --scores {input.scores} --costs {input.costs} --frontier {input.frontier}"
    " --children {input.children} --curves {input.curves} --evaluation {input.evaluation} --speed {input.speed}"
)


rule puzzle_report:
    input:
        PUZZLE_REPORT,
    message:
        "Figures and tables of the main chain"


rule puzzle_tables:
    input:
        **PUZZLE,
        code=code("puzzle_tables"),
    output:
        results=old_item("reports/tables/puzzle/results.md", "results in words"),
        tables=[old_item(path, title) for path, title in PUZZLE_TABLES.items()],
        metrics="reports/metrics/puzzle.json",
        runs=directory("reports/metrics/puzzle"),
    log:
        "logs/puzzle_tables.log",
    benchmark:
        "logs/benchmarks/puzzle_tables.tsv"
    threads: 1
    params:
        cfg=section("puzzle", "seed"),
    message:
        "Tables of the main chain, and its runs"
    shell:
        "python -m tessera.puzzle.stages.tables --params {params.cfg:q}"
        + PUZZLE_ARGUMENTS
        + " --results {output.results} --tables {output.tables} --metrics {output.metrics} --runs {output.runs}"
        " > {log} 2>&1"


rule puzzle_figures:
    input:
        **PUZZLE,
        code=code("puzzle_figures"),
    output:
        figures=[old_item(path, title) for path, title in PUZZLE_FIGURES.items()],
    log:
        "logs/puzzle_figures.log",
    benchmark:
        "logs/benchmarks/puzzle_figures.tsv"
    threads: 1
    message:
        "Figures of the main chain"
    shell:
        "python -m tessera.puzzle.stages.figures" + PUZZLE_ARGUMENTS + " --figures {output.figures} > {log} 2>&1"


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
        f"python -m tessera.puzzle.stages.export --params {{params.cfg:q}} --method {KEPT}"
        " --target {wildcards.target} --parent data/parent --source {input.source:q} --child {input.child}"
        " --curve {input.curve} --choices {input.choices} --info {input.info} --evaluation {input.evaluation}"
        " --export {output.export} 2>&1 | tee {log}"
