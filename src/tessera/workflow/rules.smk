# What the studies show, in one place: runs in MLflow, claims, one page for `make report`, provenance.


def target_files(names):
    """Files of targets by name: what a rule makes, or what it asks for."""
    return [path for name in names for path in getattr(rules, name).output or getattr(rules, name).input]


# What every study of the default run shows.
RESULTS = target_files(DEFAULT_TARGETS)


rule tracking:
    input:
        RESULTS,
        code=code("tracking"),
    output:
        imported="build/runs.json",
    log:
        "logs/tracking.log",
    benchmark:
        "logs/benchmarks/tracking.tsv"
    threads: 1
    params:
        stage=stage("tracking"),
    message:
        "Import the runs into MLflow"
    shell:
        BARE_STAGE


rule claims:
    # Claims are about the default scale: this rule is part of `make report`, and of no other target.
    input:
        RESULTS,
        claims=os.path.join(workflow.basedir, "reports/claims.yaml"),
        code=code("claims"),
    output:
        table=report_item("reports/tables/claims.md", "claims", "every claim with its verdict"),
    log:
        "logs/claims.log",
    benchmark:
        "logs/benchmarks/claims.tsv"
    threads: 1
    params:
        stage=stage("claims"),
    message:
        "Check every claim against the results"
    shell:
        BARE_STAGE


rule front:
    # What workflow/report.rst includes. Part of `make report`, as claims are.
    input:
        RESULTS,
        claims=os.path.join(workflow.basedir, "reports/claims.yaml"),
        speed="data/puzzle/speed.json",
        code=code("front"),
    output:
        verdicts="build/report/claims.html",
        hardware="build/report/hardware.html",
    log:
        "logs/front.log",
    benchmark:
        "logs/benchmarks/front.tsv"
    threads: 1
    params:
        stage=stage("front"),
    message:
        "The first page of the report: claims and hardware"
    shell:
        BARE_STAGE


rule captions:
    input:
        code=sorted({*code("captions"), *(path for report in source.reports() for path in files_of(report))}),
    output:
        captions=directory("build/captions"),
    log:
        "logs/captions.log",
    benchmark:
        "logs/benchmarks/captions.tsv"
    threads: 1
    params:
        stage=stage("captions"),
    message:
        "The captions of figures, tables and texts"
    shell:
        BARE_STAGE


def reports_that_ran(wildcards):
    """What each report stage wrote that has been run here, also of studies outside `all`: by its benchmark file."""
    paths = [path.as_posix() for path in Path("logs/benchmarks").rglob("*.tsv")]
    return [
        file.apply_wildcards(match.groupdict())
        for rule in workflow.rules
        if rule.benchmark and any("report" in getattr(file, "flags", {}) for file in rule.output)
        for match in map(rule.benchmark.match, paths)
        if match
        for file in rule.output
    ]


rule shown:
    # What `make report` shows.
    input:
        rules.tracking.output,
        rules.claims.output,
        rules.front.output,
        rules.captions.output,
        RESULTS,
        reports_that_ran,
    message:
        "All that `all` makes, the claims, and the reports of other studies that have been run"


rule provenance:
    # Of the default scale, as claims are: it reads dvc.lock, which smaller runs leave alone.
    input:
        RESULTS,
        "dvc.lock",
        "data/packages.yaml",
        code=code("provenance"),
    output:
        crate="ro-crate-metadata.json",
    log:
        "logs/provenance.log",
    benchmark:
        "logs/benchmarks/provenance.tsv"
    threads: 1
    params:
        stage=stage("provenance"),
    message:
        "The provenance of the results as an RO-Crate"
    shell:
        BARE_STAGE
