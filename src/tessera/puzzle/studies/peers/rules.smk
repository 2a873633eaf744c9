# Peers: other ways to prune the same parent, on the same terms. Not part of `all`.

PEERS = PARAMS.puzzle_studies.peers
PEERS_TARGET = cost_target("puzzle_studies.peers.target")
PEERS_STATISTICS = "data/puzzle_studies/peers/statistics.safetensors"

# What the report reads, by the arguments of its stage.
PEERS_FILES = {
    "children": expand("data/puzzle_studies/peers/{peer}.json", peer=PEERS.methods),
    "speed": "data/puzzle_studies/peers/speed.json",
}


wildcard_constraints:
    peer="|".join(PEERS.methods),


rule puzzle_peers_statistics:
    input:
        parent=PARENT,
        tokens=TOKENS,
        code=code("puzzle_peers_statistics"),
    output:
        statistics=PEERS_STATISTICS,
    log:
        "logs/puzzle_peers_statistics.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_statistics.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle.calibration", "puzzle.compute", "seed"),
        stage=stage("puzzle_peers_statistics"),
    message:
        "Statistics of the parent by which the peers prune"
    shell:
        STAGE


rule puzzle_peers_child:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        block_library=f"data/puzzle/search/{PEERS_TARGET}/block_library.json",
        costs=f"data/puzzle/costs/{PEERS_TARGET}.parquet",
        statistics=PEERS_STATISTICS,
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
            "puzzle.compute",
            "seed",
        ),
        stage=stage("puzzle_peers_child", teacher_cache=TEACHER),
    message:
        "Prune by {wildcards.peer}, heal and evaluate"
    shell:
        STAGE


rule puzzle_peers_speed:
    input:
        parent=PARENT,
        children=PEERS_FILES["children"],
        code=code("puzzle_peers_speed"),
    output:
        metrics="data/puzzle_studies/peers/speed.json",
    log:
        "logs/puzzle_peers_speed.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_speed.tsv"
    # Alone on the machine, as the costs were.
    threads: workflow.cores
    resources:
        gpu=SERVING_GPUS,
    params:
        cfg=section("puzzle_studies.peers", "puzzle.costs", "puzzle.compute"),
        stage=stage("puzzle_peers_speed"),
    message:
        "Times of the peers' children on this machine"
    shell:
        STAGE


rule puzzle_peers_report:
    input:
        **PEERS_FILES,
        code=code("puzzle_peers_report"),
    output:
        **published(
            "puzzle_peers",
            texts={"results": "peers at one budget"},
            tables={"peers": "peers in numbers", "domains": "quality by domain"},
            figures={"peers": "peers at one budget"},
        ),
    log:
        "logs/puzzle_peers_report.log",
    benchmark:
        "logs/benchmarks/puzzle_peers_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.peers", "seed"),
        stage=stage("puzzle_peers_report"),
    message:
        "Tables, figure and runs of the peers"
    shell:
        STAGE


rule puzzle_peers:
    input:
        rules.puzzle_peers_report.output,
    message:
        "Other ways to prune the same parent to the same budget. Not part of `all`"
