# Balanced networks: theory; solvable tasks and margins; learning; spiking neurons; attractors; report.

# What the report reads, by the arguments of its stage.
BALANCED = {
    "curves": "data/balanced/theory.json",
    "feasibility": expand("data/balanced/feasibility/{set_name}.csv", set_name=PARAMS.balanced.feasibility.cv_ratios),
    "margins": expand("data/balanced/margins/{inputs}.csv", inputs=["gaussian", "exponential_gamma"]),
    "weights": expand("data/balanced/weights/{inputs}.parquet", inputs=["gaussian", "exponential_gamma"]),
    "learning": "data/balanced/learning.csv",
    "spiking": "data/balanced/spiking.json",
    "attractors": expand("data/balanced/attractors/{size}.json", size=PARAMS.balanced.attractor.sizes),
}


rule balanced_theory:
    input:
        code=code("balanced_theory"),
    output:
        curves="data/balanced/theory.json",
    log:
        "logs/balanced_theory.log",
    benchmark:
        "logs/benchmarks/balanced_theory.tsv"
    threads: 1
    params:
        cfg=section("balanced.theory", "balanced.margins"),
        stage=stage("balanced_theory"),
    message:
        "Critical loads and margins predicted by theory"
    shell:
        STAGE


rule balanced_feasibility:
    input:
        code=code("balanced_feasibility"),
    output:
        table="data/balanced/feasibility/{set_name}.csv",
    log:
        "logs/balanced_feasibility/{set_name}.log",
    benchmark:
        "logs/benchmarks/balanced_feasibility/{set_name}.tsv"
    threads: 1
    params:
        cfg=section("balanced.feasibility", "seed"),
        stage=stage("balanced_feasibility"),
    message:
        "Solvable tasks, set {wildcards.set_name}"
    shell:
        STAGE


rule balanced_optima:
    input:
        code=code("balanced_optima"),
    output:
        table="data/balanced/margins/{inputs}.csv",
        weights="data/balanced/weights/{inputs}.parquet",
    log:
        "logs/balanced_optima/{inputs}.log",
    benchmark:
        "logs/benchmarks/balanced_optima/{inputs}.tsv"
    threads: 1
    params:
        cfg=section("balanced.margins", "seed"),
        stage=stage("balanced_optima"),
    message:
        "Optimal weights, {wildcards.inputs} inputs"
    shell:
        STAGE


rule balanced_margins:
    input:
        BALANCED["feasibility"],
        BALANCED["margins"],
    message:
        "Solvable tasks and margins of optimal weights"


rule balanced_learning:
    input:
        code=code("balanced_learning"),
    output:
        table="data/balanced/learning.csv",
    log:
        "logs/balanced_learning.log",
    benchmark:
        "logs/benchmarks/balanced_learning.tsv"
    threads: 1
    params:
        cfg=section("balanced.learning", "seed"),
        stage=stage("balanced_learning"),
    message:
        "Online learning under every kind of noise"
    shell:
        STAGE


rule balanced_lif:
    input:
        code=code("balanced_lif"),
    output:
        result="data/balanced/spiking.json",
    log:
        "logs/balanced_lif.log",
    benchmark:
        "logs/benchmarks/balanced_lif.tsv"
    threads: 1
    params:
        cfg=section("balanced.lif", "seed"),
        stage=stage("balanced_lif"),
    message:
        "Spiking readout of optimal weights"
    shell:
        STAGE


rule balanced_memories:
    # The longest job of the study is the largest network: it starts first.
    input:
        code=code("balanced_memories"),
    output:
        result="data/balanced/attractors/{size}.json",
    log:
        "logs/balanced_memories/{size}.log",
    benchmark:
        "logs/benchmarks/balanced_memories/{size}.tsv"
    wildcard_constraints:
        size=r"\d+",
    priority: 1
    threads: 1
    params:
        cfg=section("balanced.attractor", "seed"),
        stage=stage("balanced_memories"),
    message:
        "Attractor networks of {wildcards.size} neurons"
    shell:
        STAGE


rule balanced_attractor:
    input:
        BALANCED["attractors"],
    message:
        "Attractor networks of every size"


rule balanced_report:
    input:
        **BALANCED,
        code=code("balanced_report"),
    output:
        **published(
            "balanced",
            texts={"results": "results and theory", "summary": "results in one line each"},
            tables={
                "feasibility": "critical loads",
                "margins": "margins of optimal weights",
                "weights": "optimal weights and the predicted law",
                "learning": "end of learning under each kind of noise",
                "spiking": "spiking neurons in numbers",
                "attractors": "attractor networks in numbers",
            },
            figures={
                "capacity": "critical loads against the excitatory fraction",
                "feasibility": "solvable tasks around the critical loads",
                "margins": "margins against the load",
                "scaling": "margins and balance against the number of synapses",
                "weights": "distribution of the optimal weights",
                "learning": "learning under noise",
                "spiking": "spiking neurons with and without output noise",
                "attractors": "stability and basins of memories",
            },
            shown=("capacity", "learning"),
        ),
    log:
        "logs/balanced_report.log",
    benchmark:
        "logs/benchmarks/balanced_report.tsv"
    threads: 1
    params:
        cfg=section("balanced", "seed"),
        stage=stage("balanced_report"),
    message:
        "Tables, figures and runs of balanced networks"
    shell:
        STAGE


rule balanced:
    input:
        rules.balanced_report.output,
    message:
        "Balanced networks, from the theory to the report"
