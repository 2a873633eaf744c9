# Balanced networks: theory; solvable tasks, margins, learning, spiking neurons, attractors; figures.

SETS = list(PARAMS.balanced.feasibility.cv_ratios)
INPUTS = ["gaussian", "exponential_gamma"]
NOISES = list(PARAMS.balanced.learning.noise)
SIZES = list(PARAMS.balanced.attractor.sizes)

RUNS = "reports/metrics/balanced"
FEASIBILITY = expand("data/balanced/feasibility/{set_name}.csv", set_name=SETS)
MARGINS = expand("data/balanced/margins/{inputs}.csv", inputs=INPUTS)
WEIGHTS = expand("data/balanced/weights/{inputs}.parquet", inputs=INPUTS)
LEARNING = expand("data/balanced/learning/{noise}.csv", noise=NOISES)
ATTRACTORS = expand("data/balanced/attractor/{size}.json", size=SIZES)


wildcard_constraints:
    set_name="|".join(SETS),
    inputs="|".join(INPUTS),
    noise="|".join(NOISES),
    size=r"\d+",


rule balanced:
    message:
        "Balanced networks, from the theory to the figures"
    input:
        "reports/figures/balanced",


rule balanced_margins:
    message:
        "Solvable tasks and margins of optimal weights"
    input:
        FEASIBILITY,
        MARGINS,


rule balanced_learning:
    message:
        "Learning under every noise"
    input:
        LEARNING,


rule balanced_attractor:
    message:
        "Attractor networks of every size"
    input:
        ATTRACTORS,


rule balanced_theory:
    input:
        code=code("balanced_theory"),
    output:
        curves="data/balanced/theory.json",
        run=f"{RUNS}/balanced_theory/curves.json",
    params:
        cfg=section("balanced.theory", "balanced.margins"),
    log:
        "logs/balanced_theory.log",
    benchmark:
        "logs/benchmarks/balanced_theory.tsv"
    threads: 1
    message:
        "Theory of balanced networks"
    shell:
        "python -m tessera.stages.balanced_theory --params {params.cfg:q}"
        " --curves {output.curves} --run {output.run} > {log} 2>&1"


rule balanced_feasibility_set:
    input:
        code=code("balanced_feasibility"),
    output:
        table="data/balanced/feasibility/{set_name}.csv",
        run=f"{RUNS}/balanced_feasibility/{{set_name}}.json",
    params:
        cfg=section("balanced.feasibility", "seed"),
    log:
        "logs/balanced_feasibility/{set_name}.log",
    benchmark:
        "logs/benchmarks/balanced_feasibility/{set_name}.tsv"
    threads: 1
    message:
        "Solvable tasks, set {wildcards.set_name}"
    shell:
        "python -m tessera.stages.balanced_feasibility --params {params.cfg:q} --set-name {wildcards.set_name}"
        " --table {output.table} --run {output.run} > {log} 2>&1"


rule balanced_margins_inputs:
    input:
        code=code("balanced_margins"),
    output:
        table="data/balanced/margins/{inputs}.csv",
        weights="data/balanced/weights/{inputs}.parquet",
        run=f"{RUNS}/balanced_margins/{{inputs}}.json",
    params:
        cfg=section("balanced.margins", "seed"),
    log:
        "logs/balanced_margins/{inputs}.log",
    benchmark:
        "logs/benchmarks/balanced_margins/{inputs}.tsv"
    threads: 1
    message:
        "Margins, {wildcards.inputs} inputs"
    shell:
        "python -m tessera.stages.balanced_margins --params {params.cfg:q} --inputs {wildcards.inputs}"
        " --table {output.table} --weights {output.weights} --run {output.run} > {log} 2>&1"


rule balanced_learning_noise:
    input:
        code=code("balanced_learning"),
    output:
        table="data/balanced/learning/{noise}.csv",
        run=f"{RUNS}/balanced_learning/{{noise}}.json",
    params:
        cfg=section("balanced.learning", "seed"),
    log:
        "logs/balanced_learning/{noise}.log",
    benchmark:
        "logs/benchmarks/balanced_learning/{noise}.tsv"
    threads: 1
    message:
        "Learning, {wildcards.noise} noise"
    shell:
        "python -m tessera.stages.balanced_learning --params {params.cfg:q} --noise {wildcards.noise}"
        " --table {output.table} --run {output.run} > {log} 2>&1"


rule balanced_lif:
    input:
        code=code("balanced_lif"),
    output:
        result="data/balanced/lif.json",
        run=f"{RUNS}/balanced_lif/spiking.json",
    params:
        cfg=section("balanced.lif", "seed"),
    log:
        "logs/balanced_lif.log",
    benchmark:
        "logs/benchmarks/balanced_lif.tsv"
    threads: 1
    message:
        "Spiking neurons"
    shell:
        "python -m tessera.stages.balanced_lif --params {params.cfg:q}"
        " --result {output.result} --run {output.run} > {log} 2>&1"


rule balanced_attractor_size:
    input:
        code=code("balanced_attractor"),
    output:
        result="data/balanced/attractor/{size}.json",
        run=f"{RUNS}/balanced_attractor/{{size}}.json",
    params:
        cfg=section("balanced.attractor", "seed"),
    log:
        "logs/balanced_attractor/{size}.log",
    benchmark:
        "logs/benchmarks/balanced_attractor/{size}.tsv"
    threads: 1
    message:
        "Attractor networks of {wildcards.size} neurons"
    shell:
        "python -m tessera.stages.balanced_attractor --params {params.cfg:q} --size {wildcards.size}"
        " --result {output.result} --run {output.run} > {log} 2>&1"


rule balanced_figures:
    input:
        curves=rules.balanced_theory.output.curves,
        feasibility=FEASIBILITY,
        margins=MARGINS,
        weights=WEIGHTS,
        learning=LEARNING,
        spiking=rules.balanced_lif.output.result,
        attractors=ATTRACTORS,
        code=code("balanced_figures"),
    output:
        figures=directory("reports/figures/balanced"),
    params:
        cfg=section("balanced"),
    log:
        "logs/balanced_figures.log",
    benchmark:
        "logs/benchmarks/balanced_figures.tsv"
    threads: 1
    message:
        "Figures of balanced networks"
    shell:
        "python -m tessera.stages.balanced_figures --params {params.cfg:q} --curves {input.curves}"
        " --feasibility {input.feasibility} --margins {input.margins} --weights {input.weights}"
        " --learning {input.learning} --spiking {input.spiking} --attractors {input.attractors}"
        " --figures {output.figures} > {log} 2>&1"
