# Tempotron: theory, what learning finds, exact existence, the space of solutions, Brian2, real inputs -> report.

T_DATA = "data/tempotron"
T_RUNS = "reports/metrics/tempotron"

T_MAXIMUM = expand("k{k}", k=PARAMS.tempotron.maximum.ks)
T_FINDABLE = expand("k{k}_n{n}", k=PARAMS.tempotron.findable.ks, n=PARAMS.tempotron.findable.afferents)
T_EXISTENCE = [f"k{problem.k}_n{problem.n}" for problem in PARAMS.tempotron.existence.problems]
T_SOLUTIONS = [
    f"{inputs}_k{k}_load{load}"
    for inputs in PARAMS.tempotron.clusters.inputs
    for k in PARAMS.tempotron.clusters.ks
    for load in PARAMS.tempotron.clusters.loads
    if inputs == "bins" or k >= 10  # a spike pattern that holds few times has its bins overlap
]
# Packages of the real inputs, by the data sets that are read from them.
T_PACKAGES = {name: packages.holding(PACKAGES, name) for name in ["vowels_train", "receptors_1", "mnist"]}

# Figures and tables, with what each shows.
T_FIGURES = {
    "reports/figures/tempotron/capacity.svg": "capacity: theory and what learning finds",
    "reports/figures/tempotron/existence.svg": "exact existence of solutions",
    "reports/figures/tempotron/maximum.svg": "law of the largest potential",
    "reports/figures/tempotron/overlaps.svg": "overlaps and chords of solutions",
    "reports/figures/tempotron/walk.svg": "random walks among solutions",
    "reports/figures/tempotron/planted.svg": "overlap of typical solutions, theory",
    "reports/figures/tempotron/ablation.svg": "momentum, learning rate and margin",
    "reports/figures/tempotron/trace.svg": "a voltage trace and its exact maximum",
    "reports/figures/tempotron/real.svg": "digits, speech and auditory receptors",
}
T_TABLES = {
    "reports/tables/tempotron/theory.csv": "capacities by theory",
    "reports/tables/tempotron/findable.csv": "loads that learning solves",
    "reports/tables/tempotron/solvable.csv": "solvable tasks",
    "reports/tables/tempotron/clusters.csv": "solutions by input, K and load",
    "reports/tables/tempotron/accuracy.csv": "accuracies on real inputs",
}
T_REPORT = [*T_FIGURES, *T_TABLES, "reports/tables/tempotron/results.md", "reports/metrics/tempotron.json"]
# What the report is made of, by the arguments of its stage.
T_RESULTS = {
    "capacity": f"{T_DATA}/capacity.parquet",
    "continuous": f"{T_DATA}/continuous.parquet",
    "planted": f"{T_DATA}/planted.parquet",
    "maximum": expand(f"{T_DATA}/maximum/{{job}}.parquet", job=T_MAXIMUM),
    "findable": expand(f"{T_DATA}/findable/{{job}}.parquet", job=T_FINDABLE),
    "existence": expand(f"{T_DATA}/existence/{{job}}.parquet", job=T_EXISTENCE),
    "solutions": expand(f"{T_DATA}/solutions/{{job}}.parquet", job=T_SOLUTIONS),
    "ablation": f"{T_DATA}/ablation.parquet",
    "trace": f"{T_DATA}/trace.parquet",
    "accuracies": f"{T_DATA}/accuracies.parquet",
    "receptors": f"{T_DATA}/receptors.parquet",
    "runs": [
        *expand(f"{T_RUNS}/tempotron_maximum/{{job}}.json", job=T_MAXIMUM),
        *expand(f"{T_RUNS}/tempotron_findable/{{job}}.json", job=T_FINDABLE),
        *expand(f"{T_RUNS}/tempotron_existence/{{job}}.json", job=T_EXISTENCE),
        *expand(f"{T_RUNS}/tempotron_solutions/{{job}}.json", job=T_SOLUTIONS),
        *[f"{T_RUNS}/tempotron_{step}/all.json" for step in ["replica", "ablation", "brian", "inputs"]],
    ],
}


rule tempotron:
    input:
        T_REPORT,
    message:
        "The tempotron: theory, capacity, space of solutions, real inputs"


rule tempotron_theory:
    input:
        T_RESULTS["capacity"],
        T_RESULTS["continuous"],
        T_RESULTS["planted"],
        f"{T_RUNS}/tempotron_replica/all.json",
        T_RESULTS["maximum"],
        expand(f"{T_RUNS}/tempotron_maximum/{{job}}.json", job=T_MAXIMUM),
    message:
        "Replica capacities and the law of the maximum"


rule tempotron_capacity:
    input:
        T_RESULTS["findable"],
        T_RESULTS["existence"],
        T_RESULTS["ablation"],
        T_RESULTS["trace"],
        expand(f"{T_RUNS}/tempotron_findable/{{job}}.json", job=T_FINDABLE),
        expand(f"{T_RUNS}/tempotron_existence/{{job}}.json", job=T_EXISTENCE),
        expand(f"{T_RUNS}/tempotron_{{step}}/all.json", step=["ablation", "brian"]),
    message:
        "Findable loads, exact existence, ablations and the check by Brian2"


rule tempotron_clusters:
    input:
        T_RESULTS["solutions"],
        expand(f"{T_RUNS}/tempotron_solutions/{{job}}.json", job=T_SOLUTIONS),
    message:
        "The space of solutions"


rule tempotron_real:
    input:
        T_RESULTS["accuracies"],
        T_RESULTS["receptors"],
        f"{T_RUNS}/tempotron_inputs/all.json",
    message:
        "Digits, speech and auditory receptors"


rule tempotron_report:
    input:
        T_REPORT,
    message:
        "Figures and tables of the tempotron"


rule tempotron_replica:
    input:
        code=code("tempotron_replica"),
    output:
        capacity=f"{T_DATA}/capacity.parquet",
        continuous=f"{T_DATA}/continuous.parquet",
        planted=f"{T_DATA}/planted.parquet",
        run=f"{T_RUNS}/tempotron_replica/all.json",
    log:
        "logs/tempotron_replica.log",
    benchmark:
        "logs/benchmarks/tempotron_replica.tsv"
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.theory", "seed"),
    message:
        "Replica capacities"
    shell:
        "python -m tessera.tempotron.stages.replica --params {params.cfg:q} --capacity {output.capacity}"
        " --continuous {output.continuous} --planted {output.planted} --run {output.run} > {log} 2>&1"


rule tempotron_maximum:
    input:
        code=code("tempotron_maximum"),
    output:
        quantiles=f"{T_DATA}/maximum/k{{k}}.parquet",
        run=f"{T_RUNS}/tempotron_maximum/k{{k}}.json",
    log:
        "logs/tempotron_maximum/k{k}.log",
    benchmark:
        "logs/benchmarks/tempotron_maximum/k{k}.tsv"
    wildcard_constraints:
        k=r"[0-9.]+",
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.maximum", "seed"),
    message:
        "Law of the maximum at K = {wildcards.k}"
    shell:
        "python -m tessera.tempotron.stages.maximum --params {params.cfg:q} --k {wildcards.k}"
        " --quantiles {output.quantiles} --run {output.run} > {log} 2>&1"


rule tempotron_findable:
    input:
        code=code("tempotron_findable"),
    output:
        runs=f"{T_DATA}/findable/k{{k}}_n{{n}}.parquet",
        run=f"{T_RUNS}/tempotron_findable/k{{k}}_n{{n}}.json",
    log:
        "logs/tempotron_findable/k{k}_n{n}.log",
    benchmark:
        "logs/benchmarks/tempotron_findable/k{k}_n{n}.tsv"
    wildcard_constraints:
        k=r"[0-9.]+",
        n=r"[0-9]+",
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.findable", "seed"),
    message:
        "Findable loads at K = {wildcards.k}, N = {wildcards.n}"
    shell:
        "python -m tessera.tempotron.stages.findable --params {params.cfg:q} --k {wildcards.k} --n {wildcards.n}"
        " --runs {output.runs} --run {output.run} > {log} 2>&1"


rule tempotron_existence:
    input:
        code=code("tempotron_existence"),
    output:
        counts=f"{T_DATA}/existence/k{{k}}_n{{n}}.parquet",
        run=f"{T_RUNS}/tempotron_existence/k{{k}}_n{{n}}.json",
    log:
        "logs/tempotron_existence/k{k}_n{n}.log",
    benchmark:
        "logs/benchmarks/tempotron_existence/k{k}_n{n}.tsv"
    wildcard_constraints:
        k=r"[0-9]+",
        n=r"[0-9]+",
    threads: 1
    params:
        cfg=section("tempotron.existence", "seed"),
    message:
        "Existence of solutions at K = {wildcards.k}, n = {wildcards.n}"
    shell:
        "python -m tessera.tempotron.stages.existence --params {params.cfg:q} --k {wildcards.k} --n {wildcards.n}"
        " --counts {output.counts} --run {output.run} > {log} 2>&1"


rule tempotron_solutions:
    input:
        code=code("tempotron_solutions"),
    output:
        pairs=f"{T_DATA}/solutions/{{inputs}}_k{{k}}_load{{load}}.parquet",
        run=f"{T_RUNS}/tempotron_solutions/{{inputs}}_k{{k}}_load{{load}}.json",
    log:
        "logs/tempotron_solutions/{inputs}_k{k}_load{load}.log",
    benchmark:
        "logs/benchmarks/tempotron_solutions/{inputs}_k{k}_load{load}.tsv"
    wildcard_constraints:
        inputs="bins|single|poisson",
        k=r"[0-9]+",
        load=r"[0-9.]+",
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.clusters", "seed"),
    message:
        "Solutions of {wildcards.inputs} at K = {wildcards.k}, load {wildcards.load}"
    shell:
        "python -m tessera.tempotron.stages.solutions --params {params.cfg:q} --inputs {wildcards.inputs}"
        " --k {wildcards.k} --load {wildcards.load} --pairs {output.pairs} --run {output.run} > {log} 2>&1"


rule tempotron_ablation:
    input:
        code=code("tempotron_ablation"),
    output:
        runs=f"{T_DATA}/ablation.parquet",
        run=f"{T_RUNS}/tempotron_ablation/all.json",
    log:
        "logs/tempotron_ablation.log",
    benchmark:
        "logs/benchmarks/tempotron_ablation.tsv"
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.ablation", "seed"),
    message:
        "Momentum, learning rate and margin"
    shell:
        "python -m tessera.tempotron.stages.ablation --params {params.cfg:q} --runs {output.runs} --run {output.run}"
        " > {log} 2>&1"


rule tempotron_brian:
    input:
        code=code("tempotron_brian"),
    output:
        trace=f"{T_DATA}/trace.parquet",
        run=f"{T_RUNS}/tempotron_brian/all.json",
    log:
        "logs/tempotron_brian.log",
    benchmark:
        "logs/benchmarks/tempotron_brian.tsv"
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.brian", "seed"),
    message:
        "Trained weights in Brian2"
    shell:
        "python -m tessera.tempotron.stages.brian --params {params.cfg:q} --trace {output.trace} --run {output.run}"
        " > {log} 2>&1"


rule tempotron_inputs:
    input:
        vowels=f"data/raw/{T_PACKAGES['vowels_train'].file}",
        receptors=f"data/raw/{T_PACKAGES['receptors_1'].file}",
        mnist=f"data/raw/{T_PACKAGES['mnist'].file}",
        code=code("tempotron_inputs"),
    output:
        accuracies=f"{T_DATA}/accuracies.parquet",
        receptors=f"{T_DATA}/receptors.parquet",
        run=f"{T_RUNS}/tempotron_inputs/all.json",
    log:
        "logs/tempotron_inputs.log",
    benchmark:
        "logs/benchmarks/tempotron_inputs.tsv"
    threads: 1
    params:
        cfg=section(
            "tempotron.neuron",
            "tempotron.real",
            "seed",
            members={name: path for package in T_PACKAGES.values() for name, path in package.members.items()},
        ),
    message:
        "Real inputs: digits, speech, auditory receptors"
    shell:
        "python -m tessera.tempotron.stages.inputs --params {params.cfg:q} --vowels {input.vowels}"
        " --recordings {input.receptors} --mnist {input.mnist} --accuracies {output.accuracies}"
        " --receptors {output.receptors} --run {output.run} > {log} 2>&1"


rule tempotron_summary:
    input:
        **T_RESULTS,
        code=code("tempotron_summary"),
    output:
        figures=[old_item(path, title) for path, title in T_FIGURES.items()],
        tables=[old_item(path, title) for path, title in T_TABLES.items()],
        results=old_item("reports/tables/tempotron/results.md", "results in words"),
        metrics="reports/metrics/tempotron.json",
    log:
        "logs/tempotron_summary.log",
    benchmark:
        "logs/benchmarks/tempotron_summary.tsv"
    threads: 1
    message:
        "Draw and tabulate the tempotron"
    shell:
        "python -m tessera.tempotron.stages.summary"
        + "".join(f" --{name} {{input.{name}}}" for name in T_RESULTS)
        + " --figures {output.figures} --tables {output.tables} --results {output.results} --metrics {output.metrics}"
        " > {log} 2>&1"
