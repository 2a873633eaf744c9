# Tempotron: theory, what learning finds, exact existence, the space of solutions, Brian2, real inputs.

import json

T_FINDABLE = expand("k{k}_n{n}", k=PARAMS.tempotron.findable.ks, n=PARAMS.tempotron.findable.afferents)
T_EXISTENCE = [f"k{problem.k}_n{problem.n}" for problem in PARAMS.tempotron.existence.problems]
T_SOLUTIONS = [
    f"{inputs}_k{k}_load{load}"
    for inputs in PARAMS.tempotron.clusters.inputs
    for k in PARAMS.tempotron.clusters.ks
    for load in PARAMS.tempotron.clusters.loads
    if inputs == "bins" or k >= 10  # a spike pattern that holds few times has its bins overlap
]
T_DATA = "data/tempotron"
T_METRICS = "reports/metrics/tempotron"
T_FIGURES = "reports/figures/tempotron"
T_TABLES = "reports/tables/tempotron"


rule tempotron_replica:
    input:
        code=code("tempotron_replica"),
    output:
        capacity=f"{T_DATA}/capacity.parquet",
        planted=f"{T_DATA}/planted.parquet",
    log:
        "logs/tempotron_replica.log",
    benchmark:
        "logs/benchmarks/tempotron_replica.tsv"
    threads: 1
    params:
        cfg=section("tempotron.theory", "seed"),
    message:
        "Replica capacities of K bins"
    shell:
        "python -m tessera.stages.tempotron_replica --params {params.cfg:q} --capacity {output.capacity}"
        " --planted {output.planted} > {log} 2>&1"


rule tempotron_maximum:
    input:
        code=code("tempotron_maximum"),
    output:
        quantiles=f"{T_DATA}/maximum/k{{k}}.parquet",
        run=f"{T_METRICS}/tempotron_maximum/k{{k}}.json",
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
        "python -m tessera.stages.tempotron_maximum --params {params.cfg:q} --k {wildcards.k}"
        " --quantiles {output.quantiles} --run {output.run} > {log} 2>&1"


rule tempotron_findable:
    input:
        code=code("tempotron_findable"),
    output:
        runs=f"{T_DATA}/findable/k{{k}}_n{{n}}.parquet",
        run=f"{T_METRICS}/tempotron_findable/k{{k}}_n{{n}}.json",
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
        "python -m tessera.stages.tempotron_findable --params {params.cfg:q} --k {wildcards.k} --n {wildcards.n}"
        " --runs {output.runs} --run {output.run} > {log} 2>&1"


rule tempotron_existence:
    input:
        code=code("tempotron_existence"),
    output:
        counts=f"{T_DATA}/existence/k{{k}}_n{{n}}.parquet",
        run=f"{T_METRICS}/tempotron_existence/k{{k}}_n{{n}}.json",
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
        "python -m tessera.stages.tempotron_existence --params {params.cfg:q} --k {wildcards.k} --n {wildcards.n}"
        " --counts {output.counts} --run {output.run} > {log} 2>&1"


rule tempotron_solutions:
    input:
        code=code("tempotron_solutions"),
    output:
        pairs=f"{T_DATA}/solutions/{{inputs}}_k{{k}}_load{{load}}.parquet",
        run=f"{T_METRICS}/tempotron_solutions/{{inputs}}_k{{k}}_load{{load}}.json",
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
        "python -m tessera.stages.tempotron_solutions --params {params.cfg:q} --inputs {wildcards.inputs}"
        " --k {wildcards.k} --load {wildcards.load} --pairs {output.pairs} --run {output.run} > {log} 2>&1"


rule tempotron_ablation:
    input:
        code=code("tempotron_ablation"),
    output:
        runs=f"{T_DATA}/ablation.parquet",
        run=f"{T_METRICS}/tempotron_ablation/all.json",
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
        "python -m tessera.stages.tempotron_ablation --params {params.cfg:q} --runs {output.runs} --run {output.run}"
        " > {log} 2>&1"


rule tempotron_brian:
    input:
        code=code("tempotron_brian"),
    output:
        trace=f"{T_DATA}/trace.parquet",
        run=f"{T_METRICS}/tempotron_brian/all.json",
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
        "python -m tessera.stages.tempotron_brian --params {params.cfg:q} --trace {output.trace} --run {output.run}"
        " > {log} 2>&1"


rule tempotron_inputs:
    input:
        vowels=f"data/raw/{PACKAGES['aeon'].file}",
        receptors=f"data/raw/{PACKAGES['nitime'].file}",
        code=code("tempotron_inputs"),
    output:
        accuracies=f"{T_DATA}/accuracies.parquet",
        quantiles=f"{T_DATA}/receptors.parquet",
        run=f"{T_METRICS}/tempotron_inputs/all.json",
    log:
        "logs/tempotron_inputs.log",
    benchmark:
        "logs/benchmarks/tempotron_inputs.tsv"
    threads: 1
    params:
        cfg=files.to_json(
            {
                **json.loads(section("tempotron.neuron", "tempotron.real", "seed")),
                "members": PACKAGES["aeon"].members | PACKAGES["nitime"].members,
            },
            indent=None,
        ),
    message:
        "Real inputs: digits, speech, auditory receptors"
    shell:
        "python -m tessera.stages.tempotron_inputs --params {params.cfg:q} --vowels {input.vowels}"
        " --receptors {input.receptors} --accuracies {output.accuracies} --quantiles {output.quantiles}"
        " --run {output.run} > {log} 2>&1"


rule tempotron_theory_report:
    input:
        capacity=rules.tempotron_replica.output.capacity,
        planted=rules.tempotron_replica.output.planted,
        quantiles=expand(rules.tempotron_maximum.output.quantiles, k=PARAMS.tempotron.maximum.ks),
        code=code("tempotron_theory_report"),
    output:
        law=f"{T_FIGURES}/maximum.svg",
        overlap=f"{T_FIGURES}/overlap_theory.svg",
        table=f"{T_TABLES}/theory.csv",
        run=f"{T_METRICS}/tempotron_theory_report/summary.json",
    log:
        "logs/tempotron_theory_report.log",
    benchmark:
        "logs/benchmarks/tempotron_theory_report.tsv"
    threads: 1
    message:
        "Figures of the theory"
    shell:
        "python -m tessera.stages.tempotron_theory_report --capacity {input.capacity} --planted {input.planted}"
        " --quantiles {input.quantiles} --law {output.law} --overlap {output.overlap} --table {output.table}"
        " --run {output.run} > {log} 2>&1"


rule tempotron_capacity_report:
    input:
        capacity=rules.tempotron_replica.output.capacity,
        findable=expand(f"{T_METRICS}/tempotron_findable/{{job}}.json", job=T_FINDABLE),
        findable_runs=expand(f"{T_DATA}/findable/{{job}}.parquet", job=T_FINDABLE),
        existence=expand(f"{T_DATA}/existence/{{job}}.parquet", job=T_EXISTENCE),
        ablation=rules.tempotron_ablation.output.runs,
        trace=rules.tempotron_brian.output.trace,
        code=code("tempotron_capacity_report"),
    output:
        capacity_figure=f"{T_FIGURES}/capacity.svg",
        existence_figure=f"{T_FIGURES}/existence.svg",
        ablation_figure=f"{T_FIGURES}/ablation.svg",
        trace_figure=f"{T_FIGURES}/trace.svg",
        table=f"{T_TABLES}/findable.csv",
        run=f"{T_METRICS}/tempotron_capacity_report/summary.json",
    log:
        "logs/tempotron_capacity_report.log",
    benchmark:
        "logs/benchmarks/tempotron_capacity_report.tsv"
    threads: 1
    message:
        "Figures of capacity"
    shell:
        "python -m tessera.stages.tempotron_capacity_report --capacity {input.capacity} --findable {input.findable}"
        " --findable-runs {input.findable_runs} --existence {input.existence} --ablation {input.ablation}"
        " --trace {input.trace} --capacity-figure {output.capacity_figure}"
        " --existence-figure {output.existence_figure} --ablation-figure {output.ablation_figure}"
        " --trace-figure {output.trace_figure} --table {output.table} --run {output.run} > {log} 2>&1"


rule tempotron_clusters_report:
    input:
        pairs=expand(f"{T_DATA}/solutions/{{job}}.parquet", job=T_SOLUTIONS),
        runs=expand(f"{T_METRICS}/tempotron_solutions/{{job}}.json", job=T_SOLUTIONS),
        code=code("tempotron_clusters_report"),
    output:
        overlaps=f"{T_FIGURES}/overlaps.svg",
        walk=f"{T_FIGURES}/walk.svg",
        table=f"{T_TABLES}/clusters.csv",
        run=f"{T_METRICS}/tempotron_clusters_report/summary.json",
    log:
        "logs/tempotron_clusters_report.log",
    benchmark:
        "logs/benchmarks/tempotron_clusters_report.tsv"
    threads: 1
    message:
        "Figures of the space of solutions"
    shell:
        "python -m tessera.stages.tempotron_clusters_report --pairs {input.pairs} --runs {input.runs}"
        " --overlaps {output.overlaps} --walk {output.walk} --table {output.table} --run {output.run} > {log} 2>&1"


rule tempotron_real_report:
    input:
        accuracies=rules.tempotron_inputs.output.accuracies,
        quantiles=rules.tempotron_inputs.output.quantiles,
        inputs=rules.tempotron_inputs.output.run,
        code=code("tempotron_real_report"),
    output:
        real=f"{T_FIGURES}/real.svg",
        table=f"{T_TABLES}/real.csv",
        run=f"{T_METRICS}/tempotron_real_report/summary.json",
    log:
        "logs/tempotron_real_report.log",
    benchmark:
        "logs/benchmarks/tempotron_real_report.tsv"
    threads: 1
    message:
        "Figures of the real inputs"
    shell:
        "python -m tessera.stages.tempotron_real_report --accuracies {input.accuracies}"
        " --quantiles {input.quantiles} --inputs {input.inputs} --real {output.real} --table {output.table}"
        " --run {output.run} > {log} 2>&1"


rule tempotron_theory:
    input:
        rules.tempotron_replica.output,
        expand(rules.tempotron_maximum.output, k=PARAMS.tempotron.maximum.ks),
        rules.tempotron_theory_report.output,
    message:
        "Replica capacities and the law of the maximum"


rule tempotron_capacity:
    input:
        expand(
            rules.tempotron_findable.output,
            k=PARAMS.tempotron.findable.ks,
            n=PARAMS.tempotron.findable.afferents,
        ),
        expand(
            rules.tempotron_existence.output,
            zip,
            k=[problem.k for problem in PARAMS.tempotron.existence.problems],
            n=[problem.n for problem in PARAMS.tempotron.existence.problems],
        ),
        rules.tempotron_ablation.output,
        rules.tempotron_brian.output,
        rules.tempotron_capacity_report.output,
    message:
        "Findable loads, exact existence, ablations and the check by Brian2"


rule tempotron_clusters:
    input:
        expand(f"{T_DATA}/solutions/{{job}}.parquet", job=T_SOLUTIONS),
        expand(f"{T_METRICS}/tempotron_solutions/{{job}}.json", job=T_SOLUTIONS),
        rules.tempotron_clusters_report.output,
    message:
        "The space of solutions"


rule tempotron_real:
    input:
        rules.tempotron_inputs.output,
        rules.tempotron_real_report.output,
    message:
        "Digits, speech and auditory receptors"


rule tempotron:
    input:
        rules.tempotron_theory.input,
        rules.tempotron_capacity.input,
        rules.tempotron_clusters.input,
        rules.tempotron_real.input,
    message:
        "The tempotron: theory, capacity, space of solutions, real inputs"
