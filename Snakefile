# Tessera: data -> studies -> metrics and figures -> report. Each study is a folder of src/tessera, with its rules in
# rules.smk; every number is in params.yaml.
#
#   puzzle       which blocks of a pretrained language model can be made cheaper on given hardware
#   tempotron    how many patterns of spikes a neuron can tell apart
#   balanced     when a selective neuron is robust to noise
#   tsvm         weights that fire at given times with the largest margin
#   bayesopt     whether edges and known minima waste evaluations
#
#   snakemake              the default run, on 2 cores
#   snakemake puzzle       one study, or one of its steps: puzzle_library, ...
#   snakemake smoke        everything in minutes, in build/smoke
#   snakemake -n           what would run, and why

from pathlib import Path

from tessera.workflow import bridge


configfile: "params.yaml"


report: "src/tessera/workflow/report.rst"


PACKAGE = Path(workflow.basedir, "src/tessera")


include: "src/tessera/workflow/common.smk"
include: "src/tessera/data/rules.smk"


# The target of each study has the name of its folder. Side studies read what their study makes; those that are part of
# the default run add their target.
STUDIES = sorted(set(PACKAGE.glob("*/rules.smk")) - {PACKAGE / "data/rules.smk", PACKAGE / "workflow/rules.smk"})
DEFAULT_TARGETS = [path.parent.name for path in STUDIES]

for rules_file in STUDIES + sorted(PACKAGE.glob("*/studies/*/rules.smk")):

    include: str(rules_file)


include: "src/tessera/workflow/rules.smk"


bridge.adopt(workflow)


rule all:
    default_target: True
    input:
        RESULTS,
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
