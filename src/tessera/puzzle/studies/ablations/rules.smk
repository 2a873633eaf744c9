# Ablations: what each part of the method contributes, one at a time. Takes hours; not part of `all`.

import re

ABLATIONS = PARAMS.puzzle_studies.ablations
ABLATIONS_TARGET = cost_target("puzzle_studies.ablations.child.target")
ABLATIONS_CASES = {case.replace(" ", "-"): case for case in ABLATIONS.cases}

# What the report reads, by the arguments of its stage.
ABLATIONS_FILES = {
    "blocks": expand("data/puzzle_studies/ablations/blocks/{replicate}.json", replicate=range(ABLATIONS.seeds)),
    "cases": expand("data/puzzle_studies/ablations/cases/{case}.json", case=ABLATIONS_CASES),
}


wildcard_constraints:
    case="|".join(map(re.escape, ABLATIONS_CASES)),
    replicate=r"\d+",


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
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.ablations.blocks",
            "puzzle_studies.ablations.text",
            "puzzle.space",
            "puzzle.library",
            "puzzle.compute",
            "seed",
        ),
        stage=stage("puzzle_ablations_blocks"),
    message:
        "Blocks from other initialisations, replicate {wildcards.replicate}"
    shell:
        STAGE


def ablation_responses(wildcards):
    """Scores by cosine, for the case that needs them."""
    scored = ABLATIONS.cases[ABLATIONS_CASES[wildcards.case]].score == "cosine"
    return {"responses": "data/puzzle_studies/validity/interactions.json"} if scored else {}


def ablation_case(wildcards):
    """One case and what all share, as one canonical text, so that changing another case does not invalidate this one."""
    names = [f"puzzle_studies.ablations.{name}" for name in ("seeds", "text", "child")]
    names += [f"puzzle.{name}" for name in ("compute", "space", "library", "scores", "heal")]
    text = section(*names, "seed", case=ABLATIONS.cases[ABLATIONS_CASES[wildcards.case]].model_dump(mode="json"))
    SECTIONS[text].add("puzzle_studies.ablations")
    return text


rule puzzle_ablations_case:
    input:
        unpack(ablation_responses),
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        scores=SCORES,
        costs=f"data/puzzle/costs/{ABLATIONS_TARGET}.parquet",
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
        stage=stage(
            "puzzle_ablations_case",
            case=lambda wildcards: ABLATIONS_CASES[wildcards.case],
            teacher_cache=TEACHER,
        ),
    message:
        "Ablation {wildcards.case}"
    shell:
        STAGE


rule puzzle_ablations_report:
    input:
        **ABLATIONS_FILES,
        code=code("puzzle_ablations_report"),
    output:
        **published(
            "puzzle_ablations",
            texts={"results": "children of every case"},
            tables={"blocks": "losses of blocks", "cases": "children of every case"},
            figures={
                "blocks": "losses of blocks against tokens",
                "flops": "losses of blocks against FLOPs",
                "cases": "KL of every case",
            },
        ),
    log:
        "logs/puzzle_ablations_report.log",
    benchmark:
        "logs/benchmarks/puzzle_ablations_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.ablations", "puzzle.library", "seed"),
        stage=stage("puzzle_ablations_report"),
    message:
        "Tables, figures and runs of the ablations"
    shell:
        STAGE


rule puzzle_ablations:
    input:
        rules.puzzle_ablations_report.output,
    message:
        "What does each part of the method contribute? Not part of `all`"
