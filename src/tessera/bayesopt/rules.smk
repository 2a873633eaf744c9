# Bayesian optimisation: studies of the workflow as static chains of proposals and evaluations, and benchmarks.

from tessera.bayesopt import jobs
from tessera.bayesopt.params import ProposalParams

STUDIES = PARAMS.bayesopt.studies
SUITES = PARAMS.bayesopt.suites

# Figures and tables of report.smk, with what each shows.
BAYESOPT_FIGURES = {
    "proposals": "proposals, posterior mean and floor",
    "regret": "regret by evaluations and by clock",
    "edges": "likeness to the edge, and repeats",
    "lag": "makespan and regret by lag",
}
BAYESOPT_TABLES = {
    "results": "regrets, edges and costs in numbers",
    "comparison": "paired comparisons",
    "lag": "makespan and regret by lag",
}


wildcard_constraints:
    study="|".join(STUDIES),
    benchmark="|".join(["bayesopt", *(f"bayesopt_{suite}" for suite in SUITES)]),
    job=r"[a-z0-9-]+/[a-z0-9-]+/[a-z]+(_\d+)?-\d+",
    trial=r"\d+",


# Where the report of a benchmark stands.
BENCHMARKS = {"bayesopt" if suite == "quick" else f"bayesopt_{suite}": suite for suite in SUITES}


def benchmark_report(name):
    """Figures, tables and runs of one benchmark."""
    return {
        "figures": [f"reports/figures/{name}/{figure}.svg" for figure in BAYESOPT_FIGURES],
        "tables": [f"reports/tables/{name}/{table}.csv" for table in BAYESOPT_TABLES],
        "results": f"reports/tables/{name}/results.md",
        "metrics": f"reports/metrics/{name}.json",
        "runs": f"reports/metrics/{name}",
    }


def study_report(study):
    """Figure, table and runs of one study of the workflow."""
    return {
        "trials": f"reports/tables/bayesopt_{study}/trials.csv",
        "figure": f"reports/figures/bayesopt_{study}/trace.svg",
        "metrics": f"reports/metrics/bayesopt_{study}.json",
        "runs": f"reports/metrics/bayesopt_{study}",
    }


def flat(found):
    """All paths of a report."""
    return [path for one in found.values() for path in (one if isinstance(one, list) else [one])]


def bayesopt_item(path, title):
    """A figure or table of the report, whichever benchmark or study it is of."""
    kind, _, name = os.path.splitext(path)[0].split("/")[1:]
    place = {"category": "Bayesopt", "subcategory": kind.capitalize(), "labels": {"shows": title}}
    return report(path, caption=os.path.abspath(f"build/captions/bayesopt/{name}.rst"), **place)


rule bayesopt:
    input:
        flat(benchmark_report("bayesopt")),
        flat(study_report("branin")),
    message:
        "The quick benchmark, and a study of the workflow on Branin's function"


rule bayesopt_benchmark:
    input:
        flat(benchmark_report("bayesopt_full")),
    message:
        "The large benchmark, with other packages. Not in `all`"


rule bayesopt_variations:
    input:
        [flat(benchmark_report(f"bayesopt_{suite}")) for suite in ("ablations", "noise", "single", "sixteen")],
    message:
        "Benchmarks of ablations, of noise, and of one and sixteen evaluations at a time: hours"


rule bayesopt_tunes_tempotron:
    input:
        flat(study_report("tempotron")),
    message:
        "Learning rate and momentum of the tempotron, tuned"


rule bayesopt_tunes_tsvm:
    input:
        flat(study_report("tsvm")),
    message:
        "The temporal support vector machine's margin in time and width of kernel, tuned"


rule bayesopt_tunes_puzzle:
    input:
        flat(study_report("puzzle")),
    message:
        "Puzzle's rates of distillation and weights of losses, tuned"


def study_section(wildcards):
    """One study, as one canonical text: a change of another is none of this one's."""
    return section(f"bayesopt.studies.{wildcards.study}")


def proposal_section(wildcards):
    """What a study's proposals depend on. A larger budget or lag makes none of the others anew."""
    name = f"bayesopt.studies.{wildcards.study}"
    given = params.section(PARAMS, name)
    text = files.to_json({key: given[key] for key in ProposalParams.model_fields}, indent=None)
    SECTIONS.setdefault(text, set()).add(name)
    return text


def objective_section(wildcards):
    """A study's objective, and the sections that its stage is given."""
    objective = STUDIES[wildcards.study].objective
    given = {name.rpartition(".")[2]: params.section(PARAMS, name) for name in objective.sections}
    text = files.to_json({"objective": objective.model_dump(mode="json"), "given": given}, indent=None)
    SECTIONS.setdefault(text, set()).update([f"bayesopt.studies.{wildcards.study}", *objective.sections])
    return text


def before(wildcards):
    """Proposals of all trials before this one."""
    return expand(
        "data/bayesopt/studies/{study}/{trial}/proposal.json", study=wildcards.study, trial=range(int(wildcards.trial))
    )


def known(wildcards):
    """Results that the proposal of a trial may know: up to `lag` before it."""
    last = int(wildcards.trial) - STUDIES[wildcards.study].lag
    return expand("data/bayesopt/studies/{study}/{trial}/result.json", study=wildcards.study, trial=range(last + 1))


def all_trials(name):
    """One file of every trial of a study."""
    return lambda wildcards: expand(
        f"data/bayesopt/studies/{{study}}/{{trial}}/{name}.json",
        study=wildcards.study,
        trial=range(STUDIES[wildcards.study].budget),
    )


rule bayesopt_propose:
    input:
        proposals=before,
        results=known,
        code=code("bayesopt_propose"),
    output:
        proposal="data/bayesopt/studies/{study}/{trial}/proposal.json",
    log:
        "logs/bayesopt_propose/{study}/{trial}.log",
    benchmark:
        "logs/benchmarks/bayesopt_propose/{study}/{trial}.tsv"
    # Evaluations are what takes time: what the next ones wait for goes first.
    priority: 1
    threads: 1
    params:
        cfg=proposal_section,
    message:
        "Propose trial {wildcards.trial} of {wildcards.study}"
    shell:
        "python -m tessera.bayesopt.stages.propose --params {params.cfg:q} --trial {wildcards.trial}"
        " --proposals {input.proposals} --results {input.results} --proposal {output.proposal} > {log} 2>&1"


rule bayesopt_evaluate:
    input:
        proposal="data/bayesopt/studies/{study}/{trial}/proposal.json",
        files=lambda wildcards: STUDIES[wildcards.study].objective.inputs,
        objective=lambda wildcards: code(STUDIES[wildcards.study].objective.stage),
        code=code("bayesopt_evaluate"),
    output:
        result="data/bayesopt/studies/{study}/{trial}/result.json",
        cost="data/bayesopt/studies/{study}/{trial}/cost.json",
    log:
        "logs/bayesopt_evaluate/{study}/{trial}.log",
    benchmark:
        "logs/benchmarks/bayesopt_evaluate/{study}/{trial}.tsv"
    threads: 1
    params:
        cfg=objective_section,
    message:
        "Evaluate trial {wildcards.trial} of {wildcards.study}"
    shell:
        "python -m tessera.bayesopt.stages.evaluate --params {params.cfg:q} --proposal {input.proposal}"
        " --result {output.result} --cost {output.cost} > {log} 2>&1"


rule bayesopt_confirm:
    input:
        results=all_trials("result"),
        files=lambda wildcards: STUDIES[wildcards.study].objective.inputs,
        objective=lambda wildcards: code(STUDIES[wildcards.study].objective.stage),
        code=code("bayesopt_confirm"),
    output:
        confirmation="data/bayesopt/studies/{study}/confirm/{replicate}.json",
    log:
        "logs/bayesopt_confirm/{study}/{replicate}.log",
    benchmark:
        "logs/benchmarks/bayesopt_confirm/{study}/{replicate}.tsv"
    threads: 1
    params:
        cfg=objective_section,
    message:
        "Run the defaults and the best trial of {wildcards.study} with another seed, {wildcards.replicate}"
    shell:
        "python -m tessera.bayesopt.stages.confirm --params {params.cfg:q} --results {input.results}"
        " --replicate {wildcards.replicate} --confirmation {output.confirmation} > {log} 2>&1"


rule bayesopt_study:
    input:
        results=all_trials("result"),
        costs=all_trials("cost"),
        confirmations=lambda wildcards: expand(
            "data/bayesopt/studies/{study}/confirm/{replicate}.json",
            study=wildcards.study,
            replicate=range(STUDIES[wildcards.study].confirm),
        ),
        code=code("bayesopt_study"),
    output:
        trials=bayesopt_item("reports/tables/bayesopt_{study}/trials.csv", "trials of {study}"),
        figure=bayesopt_item("reports/figures/bayesopt_{study}/trace.svg", "trace of {study}"),
        metrics="reports/metrics/bayesopt_{study}.json",
        runs=directory("reports/metrics/bayesopt_{study}"),
    log:
        "logs/bayesopt_study/{study}.log",
    benchmark:
        "logs/benchmarks/bayesopt_study/{study}.tsv"
    threads: 1
    params:
        cfg=study_section,
    message:
        "Table, figure and runs of {wildcards.study}"
    shell:
        "python -m tessera.bayesopt.stages.study --params {params.cfg:q} --study {wildcards.study}"
        " --results {input.results} --costs {input.costs} --confirmations {input.confirmations} --trials {output.trials} --figure {output.figure}"
        " --metrics {output.metrics} --runs {output.runs} > {log} 2>&1"


def suite_section(wildcards):
    """One suite and the seed, as one canonical text."""
    name = f"bayesopt.suites.{BENCHMARKS[wildcards.benchmark]}"
    text = files.to_json({"suite": params.section(PARAMS, name), "seed": PARAMS.seed}, indent=None)
    SECTIONS.setdefault(text, set()).update([name, "seed"])
    return text


# What each job of a benchmark runs, by its name.
BENCHMARK_JOBS = {name: jobs.jobs(SUITES[suite]) for name, suite in BENCHMARKS.items()}


def job_section(wildcards):
    """One job and the seed, as one canonical text: a change of another job is none of this one's."""
    job = BENCHMARK_JOBS[wildcards.benchmark][wildcards.job].model_dump(mode="json")
    text = files.to_json({"job": job, "seed": PARAMS.seed}, indent=None)
    SECTIONS.setdefault(text, set()).update([f"bayesopt.suites.{BENCHMARKS[wildcards.benchmark]}", "seed"])
    return text


def of_jobs(kind):
    """One file of each job of a benchmark."""
    return lambda wildcards: [
        f"data/bayesopt/runs/{wildcards.benchmark}/{job}.{kind}" for job in BENCHMARK_JOBS[wildcards.benchmark]
    ]


rule bayesopt_runs:
    input:
        code=code("bayesopt_benchmark"),
    output:
        runs="data/bayesopt/runs/{benchmark}/{job}.parquet",
        cost="data/bayesopt/runs/{benchmark}/{job}.json",
    log:
        "logs/bayesopt_benchmark/{benchmark}/{job}.log",
    benchmark:
        "logs/benchmarks/bayesopt_benchmark/{benchmark}/{job}.tsv"
    threads: 1
    params:
        cfg=job_section,
    message:
        "Benchmark of optimisers, {wildcards.benchmark}, {wildcards.job}"
    shell:
        "OMP_NUM_THREADS={threads} python -m tessera.bayesopt.stages.benchmark --params {params.cfg:q}"
        " --runs {output.runs} --cost {output.cost} > {log} 2>&1"


rule bayesopt_tables:
    input:
        runs=of_jobs("parquet"),
        costs=of_jobs("json"),
        code=code("bayesopt_tables"),
    output:
        results=bayesopt_item("reports/tables/{benchmark}/results.md", "results in words"),
        tables=[bayesopt_item(f"reports/tables/{{benchmark}}/{n}.csv", t) for n, t in BAYESOPT_TABLES.items()],
        metrics="reports/metrics/{benchmark}.json",
        runs=directory("reports/metrics/{benchmark}"),
    log:
        "logs/bayesopt_tables/{benchmark}.log",
    benchmark:
        "logs/benchmarks/bayesopt_tables/{benchmark}.tsv"
    threads: 1
    params:
        cfg=suite_section,
    message:
        "Tables and runs of {wildcards.benchmark}"
    shell:
        "python -m tessera.bayesopt.stages.tables --params {params.cfg:q} --benchmark {wildcards.benchmark}"
        " --evaluations {input.runs} --costs {input.costs} --results {output.results} --tables {output.tables}"
        " --metrics {output.metrics} --runs {output.runs} > {log} 2>&1"


rule bayesopt_figures:
    input:
        runs=of_jobs("parquet"),
        code=code("bayesopt_figures"),
    output:
        figures=[bayesopt_item(f"reports/figures/{{benchmark}}/{n}.svg", t) for n, t in BAYESOPT_FIGURES.items()],
    log:
        "logs/bayesopt_figures/{benchmark}.log",
    benchmark:
        "logs/benchmarks/bayesopt_figures/{benchmark}.tsv"
    threads: 1
    params:
        cfg=suite_section,
    message:
        "Figures of {wildcards.benchmark}"
    shell:
        "python -m tessera.bayesopt.stages.figures --params {params.cfg:q} --evaluations {input.runs}"
        " --figures {output.figures} > {log} 2>&1"
