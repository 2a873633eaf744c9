# What each part of the method is worth, one at a time. Hours, so no part of `all`.

import re

ABLATIONS = PARAMS.puzzle_studies.ablations
ABLATIONS_CASES = {case.replace(" ", "-"): case for case in ABLATIONS.cases}


wildcard_constraints:
    case="|".join(map(re.escape, ABLATIONS_CASES)),
    replicate=r"\d+",


rule puzzle_ablations:
    input:
        "reports/tables/puzzle_ablations/results.md",
        "reports/metrics/puzzle_ablations",
    message:
        "What each part of the method is worth. Not in `all`"


rule puzzle_ablations_blocks:
    input:
        parent=PARENT,
        tokens=TOKENS,
        code=code("puzzle_ablations_blocks"),
    output:
        metrics="data/puzzle_studies/ablations/blocks/{replicate}.json",
    log:
        "logs/puzzle_ablations_blocks/{replicate}.log",
    benchmark:
        "logs/benchmarks/puzzle_ablations_blocks/{replicate}.tsv"
    threads: 1
    params:
        cfg=section(
            "puzzle_studies.ablations.blocks",
            "puzzle_studies.ablations.text",
            "puzzle.space",
            "puzzle.library",
            "seed",
        ),
    message:
        "Blocks from other initialisations, replicate {wildcards.replicate}"
    shell:
        "python -m tessera.puzzle.studies.ablations.stages.blocks --params {params.cfg:q} --replicate {wildcards.replicate}"
        " --parent data/parent --tokens data/tokens --metrics {output.metrics} 2>&1 | tee {log}"


def ablation_responses(wildcards):
    """Scores by cosine, for the case that needs them."""
    scored = ABLATIONS.cases[ABLATIONS_CASES[wildcards.case]].score == "cosine"
    return ["data/puzzle_studies/validity/interactions.json"] if scored else []


def ablation_case(wildcards):
    """One case and what all share, as one canonical text: a change of another case is none of this one's."""
    names = [f"puzzle_studies.ablations.{name}" for name in ("seeds", "text", "child")]
    names += [f"puzzle.{name}" for name in ("space", "library", "scores", "heal")]
    case = ABLATIONS.cases[ABLATIONS_CASES[wildcards.case]].model_dump(mode="json")
    text = files.to_json(params.section(PARAMS, *names, "seed", case=case), indent=None)
    SECTIONS.setdefault(text, set()).update([*names, "puzzle_studies.ablations", "seed"])
    return text


rule puzzle_ablations_case:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        scores=SCORES,
        responses=ablation_responses,
        costs=f"data/puzzle/costs/{ABLATIONS.child.target}.parquet",
        code=code("puzzle_ablations_case"),
    output:
        metrics="data/puzzle_studies/ablations/cases/{case}.json",
    log:
        "logs/puzzle_ablations_case/{case}.log",
    benchmark:
        "logs/benchmarks/puzzle_ablations_case/{case}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=ablation_case,
        case=lambda wildcards: ABLATIONS_CASES[wildcards.case],
        responses=lambda wildcards, input: f" --responses {input.responses}" if input.responses else "",
    message:
        "Ablation {wildcards.case}"
    shell:
        "python -m tessera.puzzle.studies.ablations.stages.case --params {params.cfg:q} --case {params.case:q}"
        " --parent data/parent --tokens data/tokens --library {input.library} --scores {input.scores}"
        " --costs {input.costs} --metrics {output.metrics}{params.responses}"
        f" --teacher-cache {TEACHER}"
        " 2>&1 | tee {log}"


rule puzzle_ablations_report:
    input:
        blocks=expand("data/puzzle_studies/ablations/blocks/{replicate}.json", replicate=range(ABLATIONS.seeds)),
        cases=expand("data/puzzle_studies/ablations/cases/{case}.json", case=ABLATIONS_CASES),
        code=code("puzzle_ablations_report"),
    output:
        results=old_item("reports/tables/puzzle_ablations/results.md", "results in words"),
        block_table=old_item("reports/tables/puzzle_ablations/blocks.csv", "losses of blocks"),
        case_table=old_item("reports/tables/puzzle_ablations/cases.csv", "children of every case"),
        block_figure=old_item("reports/figures/puzzle_ablations/blocks.svg", "losses of blocks against tokens"),
        flops_figure=old_item("reports/figures/puzzle_ablations/flops.svg", "losses of blocks against FLOPs"),
        case_figure=old_item("reports/figures/puzzle_ablations/cases.svg", "KL of every case"),
        metrics="reports/metrics/puzzle_ablations.json",
        runs=directory("reports/metrics/puzzle_ablations"),
    log:
        "logs/puzzle_ablations_report.log",
    benchmark:
        "logs/benchmarks/puzzle_ablations_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.ablations", "puzzle.library", "seed"),
    message:
        "Tables and figures of the ablations, and their runs"
    shell:
        "python -m tessera.puzzle.studies.ablations.stages.report --params {params.cfg:q} --blocks {input.blocks}"
        " --cases {input.cases} --results {output.results} --block-table {output.block_table}"
        " --case-table {output.case_table} --metrics {output.metrics} --runs {output.runs}"
        " --block-figure {output.block_figure} --flops-figure {output.flops_figure}"
        " --case-figure {output.case_figure} > {log} 2>&1"
