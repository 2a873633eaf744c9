# Tessera: data -> studies -> metrics and figures -> report. Every rule is in workflow/rules, every number in params.yaml.
#
#   snakemake              the default study, 2 cores
#   snakemake puzzle       one study (puzzle, tempotron), or one of its steps: puzzle_library, puzzle_scores, ...
#   snakemake smoke        all of it in minutes, in build/smoke
#   snakemake -n           what would run, and why

from tessera.common import dvc_bridge


configfile: "params.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/puzzle.smk"
include: "workflow/rules/puzzle_extras.smk"
include: "workflow/rules/tempotron.smk"
include: "workflow/rules/balanced.smk"
include: "workflow/rules/bayesopt.smk"
include: "workflow/rules/tsvm.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/puzzle_validity.smk"
include: "workflow/rules/puzzle_peers.smk"
include: "workflow/rules/puzzle_ablations.smk"
include: "workflow/rules/puzzle_tasks.smk"
include: "workflow/rules/puzzle_task_scores.smk"
include: "workflow/rules/puzzle_evolution.smk"
include: "workflow/rules/puzzle_coupled.smk"


dvc_bridge.adopt(workflow)


rule all:
    default_target: True
    input:
        rules.puzzle.input,
        rules.puzzle_cost_validation.input,
        rules.puzzle_sensitivity.input,
        rules.tempotron.input,
        rules.balanced.input,
        rules.bayesopt.input,
        rules.tsvm.input,
        rules.tracking.output,


rule smoke:
    log:
        "logs/smoke.log",
    benchmark:
        "logs/benchmarks/smoke.tsv"
    localrule: True
    threads: workflow.cores
    message:
        "The whole workflow on a small scale, in build/smoke"
    shell:
        "tessera smoke 2>&1 | tee {log}"


onstart:
    dvc_bridge.start(workflow)
    # Jobs of this machine need no limit of starts a second. With one, the scheduler of Snakemake 9 sets a timer after
    # each of its rounds, and every job that ends begins a round: after 300 jobs it looks at all that waits 300 times a
    # second, and keeps a core busy.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    dvc_bridge.record(workflow)


onerror:
    dvc_bridge.fail(workflow)
