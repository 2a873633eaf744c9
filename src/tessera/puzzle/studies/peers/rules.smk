# Other ways to prune the same parent, on the same terms. No part of `all`.

PEERS_CHILDREN = expand("data/puzzle_studies/peers/{peer}.json", peer=PARAMS.puzzle_studies.peers.methods)


wildcard_constraints:
    peer="|".join(PARAMS.puzzle_studies.peers.methods),


rule puzzle_peers:
    input:
        "reports/tables/puzzle_peers/results.md",
        "reports/metrics/puzzle_peers",
    message:
        "Other ways to prune the same parent to the same budget. Not in `all`"


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
        "python -m tessera.puzzle.studies.peers.stages.statistics --params {params.cfg:q} --parent data/parent"
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
        "python -m tessera.puzzle.studies.peers.stages.child --params {params.cfg:q} --peer {wildcards.peer}"
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
        "python -m tessera.puzzle.studies.peers.stages.speed --params {params.cfg:q} --parent data/parent"
        " --children {input.children} --metrics {output.metrics} 2>&1 | tee {log}"


rule puzzle_peers_report:
    input:
        children=PEERS_CHILDREN,
        speed="data/puzzle_studies/peers/speed.json",
        code=code("puzzle_peers_report"),
    output:
        results=old_item("reports/tables/puzzle_peers/results.md", "results in words"),
        peers=old_item("reports/tables/puzzle_peers/peers.csv", "peers in numbers"),
        domains=old_item("reports/tables/puzzle_peers/domains.csv", "quality by domain"),
        figure=old_item("reports/figures/puzzle_peers/peers.svg", "peers at one budget"),
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
        "python -m tessera.puzzle.studies.peers.stages.report --params {params.cfg:q} --children {input.children}"
        " --speed {input.speed} --results {output.results} --peers {output.peers} --domains {output.domains}"
        " --metrics {output.metrics} --runs {output.runs} --figure {output.figure} > {log} 2>&1"
