# What the studies found, in one place: runs in MLflow, claims, one page for `make report`, provenance.

rule tracking:
    input:
        studies=[
            *rules.puzzle.input,
            *rules.tempotron.input,
            *rules.balanced.input,
            *rules.bayesopt.input,
            *rules.tsvm.input,
        ],
        code=code("tracking"),
    output:
        imported="build/runs.json",
    log:
        "logs/tracking.log",
    benchmark:
        "logs/benchmarks/tracking.tsv"
    threads: 1
    message:
        "Import the runs into MLflow"
    shell:
        "python -m tessera.workflow.stages.tracking --imported {output.imported} > {log} 2>&1"


rule claims:
    # Claims are of the default scale: this rule is part of `make report`, and of no other target.
    input:
        claims=os.path.join(workflow.basedir, "reports/claims.yaml"),
        studies=rules.tracking.input.studies,
        code=code("claims"),
    output:
        table=report("reports/tables/claims.md", caption=os.path.abspath("build/captions/claims.rst"), category="Claims"),
    log:
        "logs/claims.log",
    benchmark:
        "logs/benchmarks/claims.tsv"
    threads: 1
    message:
        "Check every claim against the results"
    shell:
        "python -m tessera.workflow.stages.claims --claims {input.claims:q} --table {output.table} > {log} 2>&1"


rule front:
    # What workflow/report/workflow.rst includes. Part of `make report`, as claims are.
    input:
        claims=os.path.join(workflow.basedir, "reports/claims.yaml"),
        speed="data/puzzle/speed.json",
        studies=rules.tracking.input.studies,
        code=code("front"),
    output:
        verdicts="build/report/claims.html",
        hardware="build/report/hardware.html",
    log:
        "logs/front.log",
    benchmark:
        "logs/benchmarks/front.tsv"
    threads: 1
    message:
        "The first page of the report: claims and hardware"
    shell:
        "python -m tessera.workflow.stages.front --claims {input.claims:q} --speed {input.speed}"
        " --verdicts {output.verdicts} --hardware {output.hardware} > {log} 2>&1"


# Studies outside `all`, and the benchmark file of the last step of each, which tells that it has been run here.
LONG_STUDIES = {
    "puzzle_validity": "puzzle_validity_figures.tsv",
    "puzzle_peers": "puzzle_peers_report.tsv",
    "puzzle_ablations": "puzzle_ablations_report.tsv",
    "puzzle_tasks": "puzzle_tasks_report.tsv",
    "puzzle_task_scores": "puzzle_task_scores_report.tsv",
    "puzzle_evolution": "puzzle_evolution_report.tsv",
    "puzzle_coupled": "puzzle_coupled_report.tsv",
    "bayesopt_benchmark": "bayesopt_figures/bayesopt_full.tsv",
    "bayesopt_variations": "bayesopt_figures/bayesopt_sixteen.tsv",
    "bayesopt_tunes_tempotron": "bayesopt_study/tempotron.tsv",
    "bayesopt_tunes_tsvm": "bayesopt_study/tsvm.tsv",
    "bayesopt_tunes_puzzle": "bayesopt_study/puzzle.tsv",
}


def long_results(wildcards):
    """Results of the studies outside `all` that have been run."""
    made = [study for study, last in LONG_STUDIES.items() if os.path.exists(f"logs/benchmarks/{last}")]
    return [path for study in made for path in getattr(rules, study).input]


rule shown:
    # What `make report` shows.
    input:
        rules.tracking.output,
        rules.claims.output,
        rules.front.output,
        extras=[*rules.puzzle_cost_validation.input, *rules.puzzle_sensitivity.input],
        studies=rules.tracking.input.studies,
        long=long_results,
    message:
        "All that `all` makes, the claims, and those of the longer studies that have been run"


rule provenance:
    # Of the default scale, as claims are: it reads dvc.lock, which smaller runs leave alone.
    input:
        lock="dvc.lock",
        packages="data/packages.yaml",
        studies=rules.tracking.input.studies,
        code=code("provenance"),
    output:
        crate="ro-crate-metadata.json",
    log:
        "logs/provenance.log",
    benchmark:
        "logs/benchmarks/provenance.tsv"
    threads: 1
    message:
        "The provenance of the results as an RO-Crate"
    shell:
        "python -m tessera.workflow.stages.provenance --crate {output.crate} > {log} 2>&1"
