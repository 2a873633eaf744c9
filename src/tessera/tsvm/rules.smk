# T-SVM: margins with certificates, robustness to noise, kernels, real inputs -> report.

S_DATA = "data/tsvm"
S_RUNS = "reports/metrics/tsvm"

S_PROBLEMS = list(PARAMS.tsvm.problems.problems)
S_LOADS = PARAMS.tsvm.load.targets
S_NOISE = list(range(PARAMS.tsvm.noise.problems))
S_METHODS = PARAMS.tsvm.noise.methods
S_PAIRS = [f"vowels_{null}_{target}" for null, target in PARAMS.tempotron.real.speaker_pairs]

# Figures and tables, with what each shows.
S_FIGURES = {
    "reports/figures/tsvm/voltage.svg": "a potential under the envelope of its margin",
    "reports/figures/tsvm/certificate.svg": "certificates closing by round, and the online rule",
    "reports/figures/tsvm/load.svg": "margin and feasible fraction against load",
    "reports/figures/tsvm/noise.svg": "F1 against noise for all methods",
    "reports/figures/tsvm/prediction.svg": "predicted against measured critical noise",
    "reports/figures/tsvm/sweep.svg": "precision of the margin and hold window",
    "reports/figures/tsvm/xor.svg": "the exclusive-or over kernels",
    "reports/figures/tsvm/speech.svg": "two speakers told apart",
}
S_TABLES = {
    "reports/tables/tsvm/margins.csv": "margins of the reference problems",
    "reports/tables/tsvm/loads.csv": "feasible fraction, margins and scores by load",
    "reports/tables/tsvm/soft.csv": "soft margins by slack penalty",
    "reports/tables/tsvm/critical.csv": "noise at which half of the trials fail, by method",
    "reports/tables/tsvm/kernels.csv": "margins of the exclusive-or by kernel",
    "reports/tables/tsvm/speech.csv": "accuracies on two speakers",
}
S_REPORT = [*S_FIGURES, *S_TABLES, "reports/tables/tsvm/results.md", "reports/metrics/tsvm.json"]
# What the report is made of, by the arguments of its stage.
S_RESULTS = {
    "rounds": expand(f"{S_DATA}/problems/{{problem}}_rounds.parquet", problem=S_PROBLEMS),
    "trace": f"{S_DATA}/problems/{PARAMS.tsvm.problems.shown}_trace.parquet",
    "support": f"{S_DATA}/problems/{PARAMS.tsvm.problems.shown}_support.parquet",
    "soft": expand(f"{S_DATA}/problems/{{problem}}_soft.parquet", problem=S_PROBLEMS),
    "steps": expand(f"{S_DATA}/problems/{{problem}}_steps.parquet", problem=S_PROBLEMS),
    "load": expand(f"{S_DATA}/load/n{{targets}}.parquet", targets=S_LOADS),
    "curves": expand(f"{S_DATA}/noise/p{{problem}}_curves.parquet", problem=S_NOISE),
    "critical": expand(f"{S_DATA}/noise/p{{problem}}_critical.parquet", problem=S_NOISE),
    "sweep": f"{S_DATA}/sweep.parquet",
    "kernels": f"{S_DATA}/xor_margins.parquet",
    "xor": f"{S_DATA}/xor_noise.parquet",
    "speech": f"{S_DATA}/speech.parquet",
    "runs": [
        *expand(f"{S_RUNS}/tsvm_problem/{{problem}}.json", problem=S_PROBLEMS),
        *expand(f"{S_RUNS}/tsvm_load/n{{targets}}.json", targets=S_LOADS),
        *expand(f"{S_RUNS}/tsvm_noise/p{{problem}}_{{method}}.json", problem=S_NOISE, method=S_METHODS),
        *expand(f"{S_RUNS}/tsvm_{{step}}/all.json", step=["sweep", "brian", "xor"]),
        *expand(f"{S_RUNS}/tsvm_speech/{{pair}}.json", pair=S_PAIRS),
    ],
}


rule tsvm:
    input:
        S_REPORT,
    message:
        "T-SVM: spike times with the largest dynamical margin"


rule tsvm_margin:
    input:
        [S_RESULTS[name] for name in ["rounds", "trace", "support", "soft", "steps", "load"]],
        expand(f"{S_RUNS}/tsvm_problem/{{problem}}.json", problem=S_PROBLEMS),
        expand(f"{S_RUNS}/tsvm_load/n{{targets}}.json", targets=S_LOADS),
    message:
        "Margins, certificates, and how they fall with the load"


rule tsvm_robustness:
    input:
        [S_RESULTS[name] for name in ["curves", "critical", "sweep"]],
        f"{S_DATA}/brian.parquet",
        expand(f"{S_RUNS}/tsvm_noise/p{{problem}}_{{method}}.json", problem=S_NOISE, method=S_METHODS),
        expand(f"{S_RUNS}/tsvm_{{step}}/all.json", step=["sweep", "brian"]),
    message:
        "How much noise trained weights bear, by method, and the check by Brian2"


rule tsvm_kernels:
    input:
        S_RESULTS["kernels"],
        S_RESULTS["xor"],
        f"{S_RUNS}/tsvm_xor/all.json",
    message:
        "The exclusive-or over kernels"


rule tsvm_real:
    input:
        S_RESULTS["speech"],
        expand(f"{S_RUNS}/tsvm_speech/{{pair}}.json", pair=S_PAIRS),
    message:
        "Two speakers told apart"


rule tsvm_report:
    input:
        S_REPORT,
    message:
        "Figures and tables of the T-SVM"


rule tsvm_problem:
    input:
        code=code("tsvm_problem"),
    output:
        rounds=f"{S_DATA}/problems/{{problem}}_rounds.parquet",
        trace=f"{S_DATA}/problems/{{problem}}_trace.parquet",
        support=f"{S_DATA}/problems/{{problem}}_support.parquet",
        soft=f"{S_DATA}/problems/{{problem}}_soft.parquet",
        steps=f"{S_DATA}/problems/{{problem}}_steps.parquet",
        run=f"{S_RUNS}/tsvm_problem/{{problem}}.json",
    log:
        "logs/tsvm_problem/{problem}.log",
    benchmark:
        "logs/benchmarks/tsvm_problem/{problem}.tsv"
    wildcard_constraints:
        problem="|".join(S_PROBLEMS),
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.problems"),
    message:
        "Margin and certificate of problem {wildcards.problem}"
    shell:
        "python -m tessera.tsvm.stages.problem --params {params.cfg:q} --problem {wildcards.problem}"
        " --rounds {output.rounds} --trace {output.trace} --support {output.support} --soft {output.soft}"
        " --steps {output.steps} --run {output.run} > {log} 2>&1"


rule tsvm_load:
    input:
        code=code("tsvm_load"),
    output:
        problems=f"{S_DATA}/load/n{{targets}}.parquet",
        run=f"{S_RUNS}/tsvm_load/n{{targets}}.json",
    log:
        "logs/tsvm_load/n{targets}.log",
    benchmark:
        "logs/benchmarks/tsvm_load/n{targets}.tsv"
    wildcard_constraints:
        targets=r"[0-9]+",
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.load", "seed"),
    message:
        "Margins of problems with {wildcards.targets} targets"
    shell:
        "python -m tessera.tsvm.stages.load --params {params.cfg:q} --targets {wildcards.targets}"
        " --problems {output.problems} --run {output.run} > {log} 2>&1"


rule tsvm_noise:
    input:
        code=code("tsvm_noise"),
    output:
        curves=f"{S_DATA}/noise/p{{problem}}_curves.parquet",
        critical=f"{S_DATA}/noise/p{{problem}}_critical.parquet",
        runs=expand(f"{S_RUNS}/tsvm_noise/p{{{{problem}}}}_{{method}}.json", method=S_METHODS),
    log:
        "logs/tsvm_noise/p{problem}.log",
    benchmark:
        "logs/benchmarks/tsvm_noise/p{problem}.tsv"
    wildcard_constraints:
        problem=r"[0-9]+",
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.noise", "seed"),
    message:
        "Noise that all methods bear on problem {wildcards.problem}"
    shell:
        "python -m tessera.tsvm.stages.noise --params {params.cfg:q} --problem {wildcards.problem}"
        " --curves {output.curves} --critical {output.critical} --runs {output.runs} > {log} 2>&1"


rule tsvm_sweep:
    input:
        code=code("tsvm_sweep"),
    output:
        margins=f"{S_DATA}/sweep.parquet",
        run=f"{S_RUNS}/tsvm_sweep/all.json",
    log:
        "logs/tsvm_sweep.log",
    benchmark:
        "logs/benchmarks/tsvm_sweep.tsv"
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.noise", "tsvm.sweep", "seed"),
    message:
        "Precision of the margin and hold window"
    shell:
        "python -m tessera.tsvm.stages.sweep --params {params.cfg:q} --margins {output.margins} --run {output.run}"
        " > {log} 2>&1"


rule tsvm_brian:
    input:
        code=code("tsvm_brian"),
    output:
        delays=f"{S_DATA}/brian.parquet",
        run=f"{S_RUNS}/tsvm_brian/all.json",
    log:
        "logs/tsvm_brian.log",
    benchmark:
        "logs/benchmarks/tsvm_brian.tsv"
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.problems", "tsvm.brian", "seed"),
    message:
        "Trained weights in Brian2"
    shell:
        "python -m tessera.tsvm.stages.brian --params {params.cfg:q} --delays {output.delays} --run {output.run}"
        " > {log} 2>&1"


rule tsvm_xor:
    input:
        code=code("tsvm_xor"),
    output:
        margins=f"{S_DATA}/xor_margins.parquet",
        noise=f"{S_DATA}/xor_noise.parquet",
        run=f"{S_RUNS}/tsvm_xor/all.json",
    log:
        "logs/tsvm_xor.log",
    benchmark:
        "logs/benchmarks/tsvm_xor.tsv"
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.kernels", "seed"),
    message:
        "The exclusive-or over kernels"
    shell:
        "python -m tessera.tsvm.stages.xor --params {params.cfg:q} --margins {output.margins} --noise {output.noise}"
        " --run {output.run} > {log} 2>&1"


rule tsvm_speech:
    input:
        vowels=f"data/raw/{T_PACKAGES['vowels_train'].file}",
        tempotron=f"{T_DATA}/accuracies.parquet",
        code=code("tsvm_speech"),
    output:
        accuracies=f"{S_DATA}/speech.parquet",
        runs=expand(f"{S_RUNS}/tsvm_speech/{{pair}}.json", pair=S_PAIRS),
    log:
        "logs/tsvm_speech.log",
    benchmark:
        "logs/benchmarks/tsvm_speech.tsv"
    threads: 1
    params:
        cfg=section(
            "tsvm.neuron",
            "tsvm.real",
            "seed",
            # The same inputs as the tempotron's.
            **{name: getattr(PARAMS.tempotron.real, name) for name in ["speaker_pairs", "levels", "frame"]},
            members=T_PACKAGES["vowels_train"].members,
        ),
    message:
        "Two speakers told apart by a spike at the end of the utterance"
    shell:
        "python -m tessera.tsvm.stages.speech --params {params.cfg:q} --vowels {input.vowels}"
        " --tempotron {input.tempotron} --accuracies {output.accuracies} --runs {output.runs} > {log} 2>&1"


rule tsvm_summary:
    input:
        **S_RESULTS,
        code=code("tsvm_summary"),
    output:
        figures=[old_item(path, title) for path, title in S_FIGURES.items()],
        tables=[old_item(path, title) for path, title in S_TABLES.items()],
        results=old_item("reports/tables/tsvm/results.md", "results in words"),
        summary="reports/tables/tsvm/summary.md",
        metrics="reports/metrics/tsvm.json",
    log:
        "logs/tsvm_summary.log",
    benchmark:
        "logs/benchmarks/tsvm_summary.tsv"
    threads: 1
    params:
        cfg=section("tsvm.noise", "seed"),
    message:
        "Draw and tabulate the T-SVM"
    shell:
        "python -m tessera.tsvm.stages.summary --params {params.cfg:q}"
        + "".join(f" --{name} {{input.{name}}}" for name in S_RESULTS)
        + " --figures {output.figures} --tables {output.tables} --results {output.results}"
        " --summary {output.summary} --metrics {output.metrics}"
        " > {log} 2>&1"
