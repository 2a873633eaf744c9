# Tessera: data -> studies -> metrics and figures -> report. The rules of a study are in its folder, src/tessera/STUDY,
# every number is in params.yaml.
#
#   snakemake              the default run, on 2 cores
#   snakemake puzzle       one study (puzzle, tempotron, balanced, tsvm, bayesopt), or one of its steps: puzzle_library, ...
#   snakemake smoke        all of it in minutes, in build/smoke
#   snakemake -n           what would run, and why

from pathlib import Path

from tessera.workflow import bridge


configfile: "params.yaml"


report: "src/tessera/workflow/report.rst"


PACKAGE = Path(workflow.basedir, "src/tessera")


include: "src/tessera/workflow/common.smk"
include: "src/tessera/data/rules.smk"


# A study's rules, then those of its side studies, which read what it makes.
for rules_file in sorted(PACKAGE.glob("*/rules.smk")) + sorted(PACKAGE.glob("*/studies/*/rules.smk")):
    if rules_file.parent.name not in ("data", "workflow"):

        include: str(rules_file)


include: "src/tessera/workflow/rules.smk"


bridge.adopt(workflow)


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
    bridge.start(workflow)
    # Jobs of this machine need no limit of starts a second. With one, the scheduler of Snakemake 9 sets a timer after
    # each of its rounds, and every job that ends begins a round: after 300 jobs it looks at all that waits 300 times a
    # second, and keeps a core busy.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    bridge.record(workflow)


onerror:
    bridge.fail(workflow)
