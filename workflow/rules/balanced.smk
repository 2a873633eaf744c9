# Balanced networks: theory; solvable tasks and margins; learning; spiking neurons; attractors; tables and figures.

BALANCED_RUNS = "reports/metrics/balanced"
# What the report of the study is made of.
BALANCED = {
    "curves": "data/balanced/theory.json",
    "feasibility": expand("data/balanced/feasibility/{set_name}.csv", set_name=PARAMS.balanced.feasibility.cv_ratios),
    "margins": expand("data/balanced/margins/{inputs}.csv", inputs=["gaussian", "exponential_gamma"]),
    "weights": expand("data/balanced/weights/{inputs}.parquet", inputs=["gaussian", "exponential_gamma"]),
    "learning": "data/balanced/learning.csv",
    "spiking": "data/balanced/spiking.json",
    "attractors": expand("data/balanced/attractors/{size}.json", size=PARAMS.balanced.attractor.sizes),
}
BALANCED_ARGUMENTS = (
    " --curves {input.curves} --feasibility {input.feasibility} --margins {input.margins} --weights {input.weights}"
    " --learning {input.learning} --spiking {input.spiking} --attractors {input.attractors}"
)

# Figures and tables of the report, with what each shows.
BALANCED_FIGURES = {
    "reports/figures/balanced/capacity.svg": "critical loads against the excitatory fraction",
    "reports/figures/balanced/feasibility.svg": "solvable tasks around the critical loads",
    "reports/figures/balanced/margins.svg": "margins against the load",
    "reports/figures/balanced/scaling.svg": "margins and balance against the number of synapses",
    "reports/figures/balanced/weights.svg": "distribution of the optimal weights",
    "reports/figures/balanced/learning.svg": "learning under noise",
    "reports/figures/balanced/spiking.svg": "spiking neurons with and without output noise",
    "reports/figures/balanced/attractors.svg": "stability and basins of memories",
}
BALANCED_TABLES = {
    "reports/tables/balanced/feasibility.csv": "critical loads",
    "reports/tables/balanced/margins.csv": "margins of optimal weights",
    "reports/tables/balanced/weights.csv": "optimal weights against the predicted law",
    "reports/tables/balanced/learning.csv": "what was learned under every noise",
    "reports/tables/balanced/spiking.csv": "spiking neurons in numbers",
    "reports/tables/balanced/attractors.csv": "attractor networks in numbers",
}
BALANCED_REPORT = [
    "reports/tables/balanced/results.md",
    "reports/tables/balanced/summary.md",
    *BALANCED_TABLES,
    *BALANCED_FIGURES,
    "reports/metrics/balanced.json",
]


rule balanced:
    input:
        BALANCED_REPORT,
    message:
        "Balanced networks, from the theory to the report"


rule balanced_theory:
    input:
        BALANCED["curves"],
    message:
        "Critical loads and margins, as the theory has them"


rule balanced_margins:
    input:
        BALANCED["feasibility"],
        BALANCED["margins"],
    message:
        "Solvable tasks and margins of optimal weights"


rule balanced_learning:
    input:
        BALANCED["learning"],
    message:
        "Online learning under every noise"


rule balanced_lif:
    input:
        BALANCED["spiking"],
    message:
        "Spiking readout of optimal weights"


rule balanced_attractor:
    input:
        BALANCED["attractors"],
    message:
        "Attractor networks of every size"


rule balanced_report:
    input:
        BALANCED_REPORT,
    message:
        "Figures and tables of balanced networks"


rule balanced_curves:
    input:
        code=code("balanced_theory"),
    output:
        curves="data/balanced/theory.json",
        run=f"{BALANCED_RUNS}/balanced_theory/curves.json",
    log:
        "logs/balanced_theory.log",
    benchmark:
        "logs/benchmarks/balanced_theory.tsv"
    threads: 1
    params:
        cfg=section("balanced.theory", "balanced.margins"),
    message:
        "Theory of balanced networks"
    shell:
        "python -m tessera.stages.balanced_theory --params {params.cfg:q}"
        " --curves {output.curves} --run {output.run} > {log} 2>&1"


rule balanced_solvable:
    input:
        code=code("balanced_feasibility"),
    output:
        table="data/balanced/feasibility/{set_name}.csv",
        run=f"{BALANCED_RUNS}/balanced_feasibility/{{set_name}}.json",
    log:
        "logs/balanced_feasibility/{set_name}.log",
    benchmark:
        "logs/benchmarks/balanced_feasibility/{set_name}.tsv"
    threads: 1
    params:
        cfg=section("balanced.feasibility", "seed"),
    message:
        "Solvable tasks, set {wildcards.set_name}"
    shell:
        "python -m tessera.stages.balanced_feasibility --params {params.cfg:q} --set-name {wildcards.set_name}"
        " --table {output.table} --run {output.run} > {log} 2>&1"


rule balanced_optima:
    input:
        code=code("balanced_margins"),
    output:
        table="data/balanced/margins/{inputs}.csv",
        weights="data/balanced/weights/{inputs}.parquet",
        run=f"{BALANCED_RUNS}/balanced_margins/{{inputs}}.json",
    log:
        "logs/balanced_margins/{inputs}.log",
    benchmark:
        "logs/benchmarks/balanced_margins/{inputs}.tsv"
    threads: 1
    params:
        cfg=section("balanced.margins", "seed"),
    message:
        "Margins, {wildcards.inputs} inputs"
    shell:
        "python -m tessera.stages.balanced_margins --params {params.cfg:q} --inputs {wildcards.inputs}"
        " --table {output.table} --weights {output.weights} --run {output.run} > {log} 2>&1"


rule balanced_learn:
    input:
        code=code("balanced_learning"),
    output:
        table="data/balanced/learning.csv",
        runs=directory(f"{BALANCED_RUNS}/balanced_learning"),
    log:
        "logs/balanced_learning.log",
    benchmark:
        "logs/benchmarks/balanced_learning.tsv"
    threads: 1
    params:
        cfg=section("balanced.learning", "seed"),
    message:
        "Learning under every noise"
    shell:
        "python -m tessera.stages.balanced_learning --params {params.cfg:q}"
        " --table {output.table} --runs {output.runs} > {log} 2>&1"


rule balanced_spike:
    input:
        code=code("balanced_lif"),
    output:
        result="data/balanced/spiking.json",
        run=f"{BALANCED_RUNS}/balanced_lif/spiking.json",
    log:
        "logs/balanced_lif.log",
    benchmark:
        "logs/benchmarks/balanced_lif.tsv"
    threads: 1
    params:
        cfg=section("balanced.lif", "seed"),
    message:
        "Spiking neurons"
    shell:
        "python -m tessera.stages.balanced_lif --params {params.cfg:q}"
        " --result {output.result} --run {output.run} > {log} 2>&1"


rule balanced_memories:
    # The longest job of the study is the largest network: begun first.
    input:
        code=code("balanced_attractor"),
    output:
        result="data/balanced/attractors/{size}.json",
        run=f"{BALANCED_RUNS}/balanced_attractor/{{size}}.json",
    log:
        "logs/balanced_attractor/{size}.log",
    benchmark:
        "logs/benchmarks/balanced_attractor/{size}.tsv"
    wildcard_constraints:
        size=r"\d+",
    priority: 1
    threads: 1
    params:
        cfg=section("balanced.attractor", "seed"),
    message:
        "Attractor networks of {wildcards.size} neurons"
    shell:
        "python -m tessera.stages.balanced_attractor --params {params.cfg:q} --size {wildcards.size}"
        " --result {output.result} --run {output.run} > {log} 2>&1"


rule balanced_tables:
    input:
        **BALANCED,
        code=code("balanced_tables"),
    output:
        results=report_item("reports/tables/balanced/results.md", "results beside the theory"),
        summary="reports/tables/balanced/summary.md",
        tables=[report_item(path, title) for path, title in BALANCED_TABLES.items()],
        metrics="reports/metrics/balanced.json",
    log:
        "logs/balanced_tables.log",
    benchmark:
        "logs/benchmarks/balanced_tables.tsv"
    threads: 1
    params:
        cfg=section("balanced"),
    message:
        "Tables of balanced networks"
    shell:
        "python -m tessera.stages.balanced_tables --params {params.cfg:q}"
        + BALANCED_ARGUMENTS
        + " --results {output.results} --summary {output.summary} --tables {output.tables} --metrics {output.metrics}"
        " > {log} 2>&1"


rule balanced_figures:
    input:
        **BALANCED,
        code=code("balanced_figures"),
    output:
        figures=[report_item(path, title) for path, title in BALANCED_FIGURES.items()],
    log:
        "logs/balanced_figures.log",
    benchmark:
        "logs/benchmarks/balanced_figures.tsv"
    threads: 1
    params:
        cfg=section("balanced"),
    message:
        "Figures of balanced networks"
    shell:
        "python -m tessera.stages.balanced_figures --params {params.cfg:q}"
        + BALANCED_ARGUMENTS
        + " --figures {output.figures} > {log} 2>&1"
