# T-SVM: margins with certificates, robustness to noise, kernels, real inputs -> report.

S_DATA = "data/tsvm"
S_RUNS = "reports/metrics/tsvm"

S_PROBLEMS = list(PARAMS.tsvm.problems.problems)
S_LOADS = PARAMS.tsvm.load.targets

# Figures and tables, with what each shows.
S_FIGURES = {
    "reports/figures/tsvm/voltage.svg": "a potential under the envelope of its margin",
    "reports/figures/tsvm/certificate.svg": "certificates closing by round, and the online rule",
    "reports/figures/tsvm/load.svg": "margin and feasible fraction against load",
}
S_TABLES = {
    "reports/tables/tsvm/margins.csv": "margins of the reference problems",
    "reports/tables/tsvm/loads.csv": "feasible fraction, margins and scores by load",
    "reports/tables/tsvm/soft.csv": "soft margins by slack penalty",
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
    "runs": [
        *expand(f"{S_RUNS}/tsvm_problem/{{problem}}.json", problem=S_PROBLEMS),
        *expand(f"{S_RUNS}/tsvm_load/n{{targets}}.json", targets=S_LOADS),
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
        "python -m tessera.stages.tsvm_problem --params {params.cfg:q} --problem {wildcards.problem}"
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
        "python -m tessera.stages.tsvm_load --params {params.cfg:q} --targets {wildcards.targets}"
        " --problems {output.problems} --run {output.run} > {log} 2>&1"


rule tsvm_summary:
    input:
        **S_RESULTS,
        code=code("tsvm_summary"),
    output:
        figures=[report_item(path, title) for path, title in S_FIGURES.items()],
        tables=[report_item(path, title) for path, title in S_TABLES.items()],
        results=report_item("reports/tables/tsvm/results.md", "results in words"),
        metrics="reports/metrics/tsvm.json",
    log:
        "logs/tsvm_summary.log",
    benchmark:
        "logs/benchmarks/tsvm_summary.tsv"
    threads: 1
    message:
        "Draw and tabulate the T-SVM"
    shell:
        "python -m tessera.stages.tsvm_summary"
        + "".join(f" --{name} {{input.{name}}}" for name in S_RESULTS)
        + " --figures {output.figures} --tables {output.tables} --results {output.results} --metrics {output.metrics}"
        " > {log} 2>&1"
