# Tempotron: theory, what learning finds, exact existence, the space of solutions, Brian2, real inputs -> report.

T_DATA = "data/tempotron"
# Jobs by what their files are called.
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

# What the report reads, by the arguments of its stage.
TEMPOTRON = {
    "capacity": f"{T_DATA}/capacity.parquet",
    "continuous": f"{T_DATA}/continuous.parquet",
    "planted": f"{T_DATA}/planted.parquet",
    "maximum": expand(f"{T_DATA}/maximum/{{job}}.parquet", job=T_MAXIMUM),
    "distances": expand(f"{T_DATA}/maximum/{{job}}.json", job=T_MAXIMUM),
    "findable": expand(f"{T_DATA}/findable/{{job}}.parquet", job=T_FINDABLE),
    "crossings": expand(f"{T_DATA}/findable/{{job}}.json", job=T_FINDABLE),
    "existence": expand(f"{T_DATA}/existence/{{job}}.parquet", job=T_EXISTENCE),
    "solutions": expand(f"{T_DATA}/solutions/{{job}}.parquet", job=T_SOLUTIONS),
    "summaries": expand(f"{T_DATA}/solutions/{{job}}.json", job=T_SOLUTIONS),
    "ablation": f"{T_DATA}/ablation.parquet",
    "trace": f"{T_DATA}/trace.parquet",
    "checks": f"{T_DATA}/brian.json",
    "accuracies": f"{T_DATA}/accuracies.parquet",
    "receptors": f"{T_DATA}/receptors.parquet",
    "statistics": f"{T_DATA}/receptors.json",
}


rule tempotron_theory:
    input:
        [TEMPOTRON[name] for name in ["capacity", "continuous", "planted", "maximum", "distances"]],
    message:
        "Replica capacities and the law of the maximum"


rule tempotron_learning:
    input:
        [TEMPOTRON[name] for name in ["findable", "crossings", "existence", "ablation", "trace", "checks"]],
    message:
        "Findable loads, exact existence, ablations and the check by Brian2"


rule tempotron_solution_space:
    input:
        [TEMPOTRON[name] for name in ["solutions", "summaries"]],
    message:
        "The space of solutions"


rule tempotron_replica:
    input:
        code=code("tempotron_replica"),
    output:
        capacity=f"{T_DATA}/capacity.parquet",
        continuous=f"{T_DATA}/continuous.parquet",
        planted=f"{T_DATA}/planted.parquet",
    log:
        "logs/tempotron_replica.log",
    benchmark:
        "logs/benchmarks/tempotron_replica.tsv"
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.theory", "seed"),
        stage=stage("tempotron_replica"),
    message:
        "Replica capacities"
    shell:
        STAGE


rule tempotron_maximum:
    input:
        code=code("tempotron_maximum"),
    output:
        quantiles=f"{T_DATA}/maximum/k{{k}}.parquet",
        distances=f"{T_DATA}/maximum/k{{k}}.json",
    log:
        "logs/tempotron_maximum/k{k}.log",
    benchmark:
        "logs/benchmarks/tempotron_maximum/k{k}.tsv"
    wildcard_constraints:
        k=r"[0-9.]+",
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.maximum", "seed"),
        stage=stage("tempotron_maximum"),
    message:
        "Law of the maximum at K = {wildcards.k}"
    shell:
        STAGE


rule tempotron_findable:
    input:
        code=code("tempotron_findable"),
    output:
        trials=f"{T_DATA}/findable/k{{k}}_n{{n}}.parquet",
        crossing=f"{T_DATA}/findable/k{{k}}_n{{n}}.json",
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
        stage=stage("tempotron_findable"),
    message:
        "Findable loads at K = {wildcards.k}, N = {wildcards.n}"
    shell:
        STAGE


rule tempotron_existence:
    input:
        code=code("tempotron_existence"),
    output:
        counts=f"{T_DATA}/existence/k{{k}}_n{{n}}.parquet",
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
        stage=stage("tempotron_existence"),
    message:
        "Existence of solutions at K = {wildcards.k}, n = {wildcards.n}"
    shell:
        STAGE


rule tempotron_solutions:
    input:
        code=code("tempotron_solutions"),
    output:
        pairs=f"{T_DATA}/solutions/{{inputs}}_k{{k}}_load{{load}}.parquet",
        summary=f"{T_DATA}/solutions/{{inputs}}_k{{k}}_load{{load}}.json",
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
        stage=stage("tempotron_solutions"),
    message:
        "Solutions of {wildcards.inputs} at K = {wildcards.k}, load {wildcards.load}"
    shell:
        STAGE


rule tempotron_ablation:
    input:
        code=code("tempotron_ablation"),
    output:
        trials=f"{T_DATA}/ablation.parquet",
    log:
        "logs/tempotron_ablation.log",
    benchmark:
        "logs/benchmarks/tempotron_ablation.tsv"
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.ablation", "seed"),
        stage=stage("tempotron_ablation"),
    message:
        "Momentum, learning rate and margin"
    shell:
        STAGE


rule tempotron_brian:
    input:
        code=code("tempotron_brian"),
    output:
        trace=f"{T_DATA}/trace.parquet",
        checks=f"{T_DATA}/brian.json",
    log:
        "logs/tempotron_brian.log",
    benchmark:
        "logs/benchmarks/tempotron_brian.tsv"
    threads: 1
    params:
        cfg=section("tempotron.neuron", "tempotron.brian", "seed"),
        stage=stage("tempotron_brian"),
    message:
        "Trained weights in Brian2"
    shell:
        STAGE


rule tempotron_real:
    input:
        vowels=f"data/raw/{T_PACKAGES['vowels_train'].file}",
        recordings=f"data/raw/{T_PACKAGES['receptors_1'].file}",
        mnist=f"data/raw/{T_PACKAGES['mnist'].file}",
        code=code("tempotron_real"),
    output:
        accuracies=f"{T_DATA}/accuracies.parquet",
        receptors=f"{T_DATA}/receptors.parquet",
        statistics=f"{T_DATA}/receptors.json",
    log:
        "logs/tempotron_real.log",
    benchmark:
        "logs/benchmarks/tempotron_real.tsv"
    threads: 1
    params:
        cfg=section(
            "tempotron.neuron",
            "tempotron.real",
            "seed",
            members={name: path for package in T_PACKAGES.values() for name, path in package.members.items()},
        ),
        stage=stage("tempotron_real"),
    message:
        "Real inputs: digits, speech, auditory receptors"
    shell:
        STAGE


rule tempotron_report:
    input:
        **TEMPOTRON,
        code=code("tempotron_report"),
    output:
        **published(
            "tempotron",
            texts={"results": "results in tables and words"},
            tables={
                "theory": "capacities by theory",
                "findable": "loads that learning solves",
                "solvable": "solvable tasks",
                "clusters": "solutions by input, K and load",
                "accuracy": "accuracies on real inputs",
            },
            figures={
                "capacity": "capacity: theory and what learning finds",
                "existence": "exact existence of solutions",
                "maximum": "law of the largest potential",
                "overlaps": "overlaps and chords of solutions",
                "walk": "random walks among solutions",
                "planted": "overlap of typical solutions, theory",
                "ablation": "momentum, learning rate and margin",
                "trace": "a voltage trace and its exact maximum",
                "real": "digits, speech and auditory receptors",
            },
            shown=("capacity",),
        ),
    log:
        "logs/tempotron_report.log",
    benchmark:
        "logs/benchmarks/tempotron_report.tsv"
    threads: 1
    params:
        cfg=section("tempotron", "seed"),
        stage=stage("tempotron_report"),
    message:
        "Tables, figures and runs of the tempotron"
    shell:
        STAGE


rule tempotron:
    input:
        rules.tempotron_report.output,
    message:
        "The tempotron: theory, capacity, space of solutions, real inputs"
