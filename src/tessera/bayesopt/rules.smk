# Bayesian optimisation: benchmarks of optimisers, and studies of the workflow as static chains of jobs.

from tessera.bayesopt import jobs
from tessera.bayesopt.params import ProposalParams

STUDIES = PARAMS.bayesopt.studies
# Suites by the name of their benchmark, under which its results stand.
BENCHMARKS = {"bayesopt" if suite == "quick" else f"bayesopt_{suite}": suite for suite in PARAMS.bayesopt.suites}
# What each job of a benchmark runs, by its name.
BENCHMARK_JOBS = {name: jobs.jobs(PARAMS.bayesopt.suites[suite]) for name, suite in BENCHMARKS.items()}

# The report of one benchmark, and of one study.
BENCHMARK_REPORT = published(
    "{benchmark}",
    texts={"results": "median regrets"},
    tables={
        "regrets": "regrets, edges and costs in numbers",
        "comparison": "paired comparisons",
        "lag": "makespan and regret by lag, in numbers",
    },
    figures={
        "proposals": "proposals, posterior mean and floor",
        "regret": "regret by evaluations and by clock",
        "edges": "proposals near the edge, and repeats",
        "lag": "makespan and regret by lag",
    },
    shown=("regret", "lag"),
)
STUDY_REPORT = published(
    "bayesopt_{study}",
    tables={"trials": "trials of {study}"},
    figures={"trace": "trace of {study}"},
    shown=("trace",),
)


wildcard_constraints:
    study="|".join(STUDIES),
    benchmark="|".join(BENCHMARKS),
    job=r"[a-z0-9-]+/[a-z0-9-]+/[a-z]+(_\d+)?-\d+",
    trial=r"\d+",


def report_of(report, **wildcards):
    """Paths of one benchmark's or study's report."""
    return expand(list(flatten(report.values())), **wildcards)


rule bayesopt:
    input:
        report_of(BENCHMARK_REPORT, benchmark="bayesopt"),
        report_of(STUDY_REPORT, study="branin"),
    message:
        "The quick benchmark, and a study of the workflow on Branin's function"


rule bayesopt_benchmark:
    input:
        report_of(BENCHMARK_REPORT, benchmark="bayesopt_full"),
    message:
        "The large benchmark, with other packages. Not part of `all`"


rule bayesopt_variations:
    input:
        report_of(
            BENCHMARK_REPORT, benchmark=[f"bayesopt_{suite}" for suite in ("ablations", "noise", "single", "sixteen")]
        ),
    message:
        "Benchmarks of ablations, of noise, and of one and sixteen evaluations at a time"


rule bayesopt_tunes_tempotron:
    input:
        report_of(STUDY_REPORT, study="tempotron"),
    message:
        "Learning rate and momentum of the tempotron, tuned"


rule bayesopt_tunes_tsvm:
    input:
        report_of(STUDY_REPORT, study="tsvm"),
    message:
        "The temporal support vector machine's margin in time and kernel width, tuned"


rule bayesopt_tunes_puzzle:
    input:
        report_of(STUDY_REPORT, study="puzzle"),
    message:
        "Puzzle's rates of distillation and weights of losses, tuned"


def read_by(text, *sections):
    """The text of a rule's params, of which these sections of params.yaml are also part."""
    SECTIONS[text].update(sections)
    return text


def proposal_section(wildcards):
    """What a study's proposals depend on: a larger budget or lag leaves those that are there."""
    return read_by(canonical({}, **proposal_values(wildcards.study)), f"bayesopt.studies.{wildcards.study}")


def proposal_values(study):
    values = params.section(PARAMS, f"bayesopt.studies.{study}")
    return {key: values[key] for key in ProposalParams.model_fields}


def objective_section(wildcards):
    """A study's objective, and the sections that its stage is given."""
    return objective_text(wildcards.study)


def confirm_section(wildcards):
    """The same, and what recommends a trial."""
    return objective_text(wildcards.study, proposals=proposal_values(wildcards.study))


def objective_text(study, **others):
    sections = STUDIES[study].objective.sections
    given = {section.rpartition(".")[2]: params.section(PARAMS, section) for section in sections}
    text = canonical({"objective": f"bayesopt.studies.{study}.objective"}, given=given, **others)
    return read_by(text, f"bayesopt.studies.{study}", *sections)


def objective_files(wildcards):
    """Files that a study's objective reads, and the code that it runs."""
    objective = STUDIES[wildcards.study].objective
    return objective.inputs + code(objective.stage)


def all_trials(name):
    """One file of every trial of a study."""
    return lambda wildcards: expand(
        f"data/bayesopt/studies/{{study}}/{{trial}}/{name}.json",
        study=wildcards.study,
        trial=range(STUDIES[wildcards.study].budget),
    )


rule bayesopt_propose:
    input:
        # The points of all trials before this one, and the results of those that are at least `lag` before it.
        proposals=lambda wildcards: expand(
            "data/bayesopt/studies/{study}/{trial}/proposal.json",
            study=wildcards.study,
            trial=range(int(wildcards.trial)),
        ),
        results=lambda wildcards: expand(
            "data/bayesopt/studies/{study}/{trial}/result.json",
            study=wildcards.study,
            trial=range(int(wildcards.trial) - STUDIES[wildcards.study].lag + 1),
        ),
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
        stage=stage("bayesopt_propose"),
    message:
        "Propose trial {wildcards.trial} of {wildcards.study}"
    shell:
        STAGE


rule bayesopt_evaluate:
    input:
        objective_files,
        proposal="data/bayesopt/studies/{study}/{trial}/proposal.json",
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
        stage=stage("bayesopt_evaluate"),
    message:
        "Evaluate trial {wildcards.trial} of {wildcards.study}"
    shell:
        STAGE


rule bayesopt_confirm:
    input:
        objective_files,
        results=all_trials("result"),
        code=code("bayesopt_confirm"),
    output:
        confirmation="data/bayesopt/studies/{study}/confirm/{replicate}.json",
    log:
        "logs/bayesopt_confirm/{study}/{replicate}.log",
    benchmark:
        "logs/benchmarks/bayesopt_confirm/{study}/{replicate}.tsv"
    threads: 1
    params:
        cfg=confirm_section,
        stage=stage("bayesopt_confirm"),
    message:
        "Run the defaults and the recommended trial of {wildcards.study} with another seed, {wildcards.replicate}"
    shell:
        STAGE


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
        **STUDY_REPORT,
    log:
        "logs/bayesopt_study/{study}.log",
    benchmark:
        "logs/benchmarks/bayesopt_study/{study}.tsv"
    threads: 1
    params:
        cfg=lambda wildcards: section(f"bayesopt.studies.{wildcards.study}"),
        stage=stage("bayesopt_study"),
    message:
        "Table, figure and runs of {wildcards.study}"
    shell:
        STAGE


def suite_section(wildcards):
    """One suite and the seed."""
    return read_by(
        canonical({"suite": f"bayesopt.suites.{BENCHMARKS[wildcards.benchmark]}", "seed": "seed"}), "bayesopt.defaults"
    )


def job_section(wildcards):
    """One job and the seed, so that changing another job of the suite does not invalidate this one."""
    job = BENCHMARK_JOBS[wildcards.benchmark][wildcards.job].model_dump(mode="json")
    suite = f"bayesopt.suites.{BENCHMARKS[wildcards.benchmark]}"
    return read_by(canonical({"seed": "seed"}, job=job), suite, "bayesopt.defaults")


def of_jobs(kind):
    """One file of each job of a benchmark."""
    return lambda wildcards: [
        f"data/bayesopt/runs/{wildcards.benchmark}/{job}.{kind}" for job in BENCHMARK_JOBS[wildcards.benchmark]
    ]


rule bayesopt_runs:
    input:
        code=code("bayesopt_runs"),
    output:
        runs="data/bayesopt/runs/{benchmark}/{job}.parquet",
        cost="data/bayesopt/runs/{benchmark}/{job}.json",
    log:
        "logs/bayesopt_runs/{benchmark}/{job}.log",
    benchmark:
        "logs/benchmarks/bayesopt_runs/{benchmark}/{job}.tsv"
    threads: 1
    params:
        cfg=job_section,
        stage=stage("bayesopt_runs"),
    message:
        "Runs of optimisers, {wildcards.benchmark}, {wildcards.job}"
    shell:
        STAGE


rule bayesopt_suite_report:
    input:
        evaluations=of_jobs("parquet"),
        costs=of_jobs("json"),
        code=code("bayesopt_suite_report"),
    output:
        **BENCHMARK_REPORT,
    log:
        "logs/bayesopt_suite_report/{benchmark}.log",
    benchmark:
        "logs/benchmarks/bayesopt_suite_report/{benchmark}.tsv"
    threads: 1
    params:
        cfg=suite_section,
        stage=stage("bayesopt_suite_report"),
    message:
        "Tables, figures and runs of {wildcards.benchmark}"
    shell:
        STAGE
