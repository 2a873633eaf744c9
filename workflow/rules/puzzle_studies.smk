# Studies around the main chain, in hours, so no part of `all`: does what the search is told hold of the children that it chooses?

import re

VALIDITY = PARAMS.puzzle_studies.validity
VALIDITY_GROUPS = ["mip", "diverse", "baselines", *VALIDITY.random]
LIBRARIES = expand("data/puzzle/search/{target}/block_library.json", target=TARGETS)

VALIDITY_FIGURES = {
    "reports/figures/puzzle_validity/kl.svg": "KL against summed scores",
    "reports/figures/puzzle_validity/bias.svg": "bias against exchanged subblocks",
    "reports/figures/puzzle_validity/composed.svg": "scores of pairs against sums",
    "reports/figures/puzzle_validity/optimum.svg": "optima of corrected objectives",
    "reports/figures/puzzle_validity/time.svg": "time against the cost table",
}
VALIDITY_TABLES = {
    "reports/tables/puzzle_validity/children.csv": "children, predicted and run",
    "reports/tables/puzzle_validity/composed.csv": "pairs of subblocks",
    "reports/tables/puzzle_validity/optimum.csv": "optima of corrected objectives",
    "reports/tables/puzzle_validity/time.csv": "times, predicted and measured",
}
VALIDITY_FILES = {
    "groups": expand("data/puzzle_studies/validity/groups/{group}.json", group=VALIDITY_GROUPS),
    "corrected": "data/puzzle_studies/validity/groups/corrected.json",
    "correction": "data/puzzle_studies/validity/correction.json",
    "composed": "data/puzzle_studies/validity/composed.json",
    "scores": SCORES,
    "time": "data/puzzle_studies/validity/time.json",
}
VALIDITY_ARGUMENTS = (
    " --groups {input.groups} --corrected {input.corrected} --correction {input.correction}"
    " --composed {input.composed} --scores {input.scores} --time {input.time}"
)

PEERS_CHILDREN = expand("data/puzzle_studies/peers/{peer}.json", peer=PARAMS.puzzle_studies.peers.methods)

ABLATIONS = PARAMS.puzzle_studies.ablations
ABLATIONS_CASES = {case.replace(" ", "-"): case for case in ABLATIONS.cases}


wildcard_constraints:
    case="|".join(map(re.escape, ABLATIONS_CASES)),
    replicate=r"\d+",
    group="|".join([*VALIDITY_GROUPS, "corrected"]),
    peer="|".join(PARAMS.puzzle_studies.peers.methods),


rule puzzle_validity:
    input:
        "reports/tables/puzzle_validity/results.md",
        [*VALIDITY_TABLES, *VALIDITY_FIGURES],
        "reports/metrics/puzzle_validity.json",
        "reports/metrics/puzzle_validity",
    message:
        "Do summed scores predict KL, and summed times the clock? Not in `all`"


rule puzzle_peers:
    input:
        "reports/tables/puzzle_peers/results.md",
        "reports/metrics/puzzle_peers",
    message:
        "Other ways to prune the same parent to the same budget. Not in `all`"


rule puzzle_ablations:
    input:
        "reports/tables/puzzle_ablations/results.md",
        "reports/metrics/puzzle_ablations",
    message:
        "What each part of the method is worth. Not in `all`"


rule puzzle_validity_children:
    input:
        libraries=LIBRARIES,
        code=code("puzzle_validity_children"),
    output:
        children="data/puzzle_studies/validity/children.json",
    log:
        "logs/puzzle_validity_children.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_children.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.search", "seed"),
    message:
        "Children on which predictions are tried"
    shell:
        "python -m tessera.stages.puzzle_validity_children --params {params.cfg:q} --libraries {input.libraries}"
        " --children {output.children} 2>&1 | tee {log}"


rule puzzle_validity_group:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        children=lambda wildcards: "data/puzzle_studies/validity/"
        + ("corrected.json" if wildcards.group == "corrected" else "children.json"),
        code=code("puzzle_validity_group"),
    output:
        metrics="data/puzzle_studies/validity/groups/{group}.json",
    log:
        "logs/puzzle_validity_group/{group}.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_group/{group}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.validity", "puzzle.space", "puzzle.scores", "puzzle.calibration", "puzzle.heal", "seed"
        ),
    message:
        "Run the children of group {wildcards.group}"
    shell:
        "python -m tessera.stages.puzzle_validity_group --params {params.cfg:q} --group {wildcards.group}"
        " --parent data/parent --tokens data/tokens --library {input.library} --children {input.children}"
        " --metrics {output.metrics}"
        f" --teacher-cache {TEACHER}"
        " 2>&1 | tee {log}"


rule puzzle_validity_interactions:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        code=code("puzzle_validity_interactions"),
    output:
        gram="data/puzzle_studies/validity/interactions.npy",
        scores="data/puzzle_studies/validity/interactions.json",
    log:
        "logs/puzzle_validity_interactions.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_interactions.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.scores", "seed"),
    message:
        "Interactions of exchanged subblocks in the logits"
    shell:
        "python -m tessera.stages.puzzle_validity_interactions --params {params.cfg:q} --parent data/parent"
        " --tokens data/tokens --library {input.library} --gram {output.gram} --scores {output.scores}"
        " 2>&1 | tee {log}"


rule puzzle_validity_composed:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        children="data/puzzle_studies/validity/children.json",
        code=code("puzzle_validity_composed"),
    output:
        metrics="data/puzzle_studies/validity/composed.json",
    log:
        "logs/puzzle_validity_composed.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_composed.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.scores", "seed"),
    message:
        "Scores of two subblocks exchanged at once"
    shell:
        "python -m tessera.stages.puzzle_validity_composed --params {params.cfg:q} --parent data/parent"
        " --tokens data/tokens --library {input.library} --children {input.children} --metrics {output.metrics}"
        " 2>&1 | tee {log}"


rule puzzle_validity_correction:
    input:
        groups=VALIDITY_FILES["groups"],
        scores=SCORES,
        gram="data/puzzle_studies/validity/interactions.npy",
        libraries=LIBRARIES,
        code=code("puzzle_validity_correction"),
    output:
        correction="data/puzzle_studies/validity/correction.json",
        children="data/puzzle_studies/validity/corrected.json",
    log:
        "logs/puzzle_validity_correction.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_correction.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "puzzle.search"),
    message:
        "Scores corrected by interactions, and the optimum searched again"
    shell:
        "python -m tessera.stages.puzzle_validity_correction --params {params.cfg:q} --groups {input.groups}"
        " --scores {input.scores} --gram {input.gram} --libraries {input.libraries}"
        " --correction {output.correction} --children {output.children} 2>&1 | tee {log}"


rule puzzle_validity_time:
    input:
        parent=PARENT,
        library=LIBRARY,
        costs=expand("data/puzzle/costs/{target}.parquet", target=TARGETS),
        children="data/puzzle_studies/validity/children.json",
        code=code("puzzle_validity_time"),
    output:
        metrics="data/puzzle_studies/validity/time.json",
    log:
        "logs/puzzle_validity_time.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_time.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    params:
        cfg=section("puzzle_studies.validity", "puzzle.space", "puzzle.costs"),
    message:
        "Times of children on this machine"
    shell:
        "python -m tessera.stages.puzzle_validity_time --params {params.cfg:q} --parent data/parent"
        " --library {input.library} --costs {input.costs} --children {input.children} --metrics {output.metrics}"
        " 2>&1 | tee {log}"


rule puzzle_validity_tables:
    input:
        **VALIDITY_FILES,
        code=code("puzzle_validity_tables"),
    output:
        results=report_item("reports/tables/puzzle_validity/results.md", "results in words"),
        tables=[report_item(path, title) for path, title in VALIDITY_TABLES.items()],
        metrics="reports/metrics/puzzle_validity.json",
        runs=directory("reports/metrics/puzzle_validity"),
    log:
        "logs/puzzle_validity_tables.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_tables.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "seed"),
    message:
        "Tables of the validity study, and its runs"
    shell:
        "python -m tessera.stages.puzzle_validity_tables --params {params.cfg:q}"
        + VALIDITY_ARGUMENTS
        + " --results {output.results} --tables {output.tables} --metrics {output.metrics} --runs {output.runs}"
        " > {log} 2>&1"


rule puzzle_validity_figures:
    input:
        **VALIDITY_FILES,
        code=code("puzzle_validity_figures"),
    output:
        figures=[report_item(path, title) for path, title in VALIDITY_FIGURES.items()],
    log:
        "logs/puzzle_validity_figures.log",
    benchmark:
        "logs/benchmarks/puzzle_validity_figures.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.validity", "seed"),
    message:
        "Figures of the validity study"
    shell:
        "python -m tessera.stages.puzzle_validity_figures --params {params.cfg:q}"
        + VALIDITY_ARGUMENTS
        + " --figures {output.figures} > {log} 2>&1"


rule puzzle_peers_statistics:
    input:
        parent=PARENT,
        tokens=TOKENS,
        code=code("puzzle_peers_statistics"),
    output:
        statistics="data/puzzle_studies/peers/statistics.safetensors",
    log:
        "logs/puzzle_peers_statistics.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_statistics.tsv"
    threads: 1
    params:
        cfg=section("puzzle.calibration", "seed"),
    message:
        "What the peers know of the parent"
    shell:
        "python -m tessera.stages.puzzle_peers_statistics --params {params.cfg:q} --parent data/parent"
        " --tokens data/tokens --statistics {output.statistics} 2>&1 | tee {log}"


rule puzzle_peers_child:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        block_library=f"data/puzzle/search/{PARAMS.puzzle_studies.peers.target}/block_library.json",
        costs=f"data/puzzle/costs/{PARAMS.puzzle_studies.peers.target}.parquet",
        statistics="data/puzzle_studies/peers/statistics.safetensors",
        code=code("puzzle_peers_child"),
    output:
        metrics="data/puzzle_studies/peers/{peer}.json",
    log:
        "logs/puzzle_peers_child/{peer}.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_child/{peer}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.peers",
            "puzzle.space",
            "puzzle.search",
            "puzzle.calibration",
            "puzzle.heal",
            "puzzle.evaluate",
            "data",
            "seed",
        ),
    message:
        "Prune by {wildcards.peer}, heal and evaluate"
    shell:
        "python -m tessera.stages.puzzle_peers_child --params {params.cfg:q} --peer {wildcards.peer}"
        " --parent data/parent --tokens data/tokens --library {input.library}"
        " --block-library {input.block_library} --costs {input.costs} --statistics {input.statistics}"
        " --metrics {output.metrics}"
        f" --teacher-cache {TEACHER}"
        " 2>&1 | tee {log}"


rule puzzle_peers_speed:
    input:
        parent=PARENT,
        children=PEERS_CHILDREN,
        code=code("puzzle_peers_speed"),
    output:
        metrics="data/puzzle_studies/peers/speed.json",
    log:
        "logs/puzzle_peers_speed.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_speed.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    params:
        cfg=section("puzzle_studies.peers", "puzzle.costs"),
    message:
        "Times of the peers' children on this machine"
    shell:
        "python -m tessera.stages.puzzle_peers_speed --params {params.cfg:q} --parent data/parent"
        " --children {input.children} --metrics {output.metrics} 2>&1 | tee {log}"


rule puzzle_peers_report:
    input:
        children=PEERS_CHILDREN,
        speed="data/puzzle_studies/peers/speed.json",
        code=code("puzzle_peers_report"),
    output:
        results=report_item("reports/tables/puzzle_peers/results.md", "results in words"),
        peers=report_item("reports/tables/puzzle_peers/peers.csv", "peers in numbers"),
        domains=report_item("reports/tables/puzzle_peers/domains.csv", "quality by domain"),
        figure=report_item("reports/figures/puzzle_peers/peers.svg", "peers at one budget"),
        metrics="reports/metrics/puzzle_peers.json",
        runs=directory("reports/metrics/puzzle_peers"),
    log:
        "logs/puzzle_peers_report.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.peers", "seed"),
    message:
        "Tables and figure of the peers, and their runs"
    shell:
        "python -m tessera.stages.puzzle_peers_report --params {params.cfg:q} --children {input.children}"
        " --speed {input.speed} --results {output.results} --peers {output.peers} --domains {output.domains}"
        " --metrics {output.metrics} --runs {output.runs} --figure {output.figure} > {log} 2>&1"


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
        "python -m tessera.stages.puzzle_ablations_blocks --params {params.cfg:q} --replicate {wildcards.replicate}"
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
        "python -m tessera.stages.puzzle_ablations_case --params {params.cfg:q} --case {params.case:q}"
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
        results=report_item("reports/tables/puzzle_ablations/results.md", "results in words"),
        block_table=report_item("reports/tables/puzzle_ablations/blocks.csv", "losses of blocks"),
        case_table=report_item("reports/tables/puzzle_ablations/cases.csv", "children of every case"),
        block_figure=report_item("reports/figures/puzzle_ablations/blocks.svg", "losses of blocks against tokens"),
        flops_figure=report_item("reports/figures/puzzle_ablations/flops.svg", "losses of blocks against FLOPs"),
        case_figure=report_item("reports/figures/puzzle_ablations/cases.svg", "KL of every case"),
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
        "python -m tessera.stages.puzzle_ablations_report --params {params.cfg:q} --blocks {input.blocks}"
        " --cases {input.cases} --results {output.results} --block-table {output.block_table}"
        " --case-table {output.case_table} --metrics {output.metrics} --runs {output.runs}"
        " --block-figure {output.block_figure} --flops-figure {output.flops_figure}"
        " --case-figure {output.case_figure} > {log} 2>&1"
