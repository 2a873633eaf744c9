# Coupled: what does training a block's attention and FFN jointly, then searching again, gain? Not part of `all`.

COUPLED = PARAMS.puzzle_studies.coupled
SURVIVORS = "data/puzzle_studies/coupled/survivors.json"

# What the report reads, by the arguments of its stage.
COUPLED_FILES = {
    "coupled_library": expand("data/puzzle_studies/coupled/library/part_{part}", part=range(COUPLED.jobs)),
    "scores": expand("data/puzzle_studies/coupled/scores/part_{part}.json", part=range(COUPLED.jobs)),
    "first": LIBRARIES[0],
    "children": expand("data/puzzle_studies/coupled/children/{target}.json", target=TARGETS),
}


rule puzzle_coupled_survivors:
    input:
        libraries=LIBRARIES,
        code=code("puzzle_coupled_survivors"),
    output:
        survivors=SURVIVORS,
    log:
        "logs/puzzle_coupled_survivors.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_survivors.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.search"),
        stage=stage("puzzle_coupled_survivors"),
    message:
        "Pairs of variants that the first search chooses"
    shell:
        STAGE


rule puzzle_coupled_library:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        survivors=SURVIVORS,
        code=code("puzzle_coupled_library"),
    output:
        coupled_library=directory("data/puzzle_studies/coupled/library/part_{part}"),
    log:
        "logs/puzzle_coupled_library/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_library/{part}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.coupled", "puzzle.space", "puzzle.calibration", "puzzle.library", "puzzle.compute", "seed"
        ),
        stage=stage("puzzle_coupled_library"),
    message:
        "Train pairs together, part {wildcards.part}"
    shell:
        STAGE


rule puzzle_coupled_scores:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        coupled_library=COUPLED_FILES["coupled_library"],
        survivors=SURVIVORS,
        code=code("puzzle_coupled_scores"),
    output:
        scores="data/puzzle_studies/coupled/scores/part_{part}.json",
    log:
        "logs/puzzle_coupled_scores/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_scores/{part}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.scores", "puzzle.compute", "seed"),
        stage=stage("puzzle_coupled_scores"),
    message:
        "Scores of whole blocks, part {wildcards.part}"
    shell:
        STAGE


rule puzzle_coupled_search:
    input:
        scores=COUPLED_FILES["scores"],
        first="data/puzzle/search/{target}/block_library.json",
        code=code("puzzle_coupled_search"),
    output:
        library="data/puzzle_studies/coupled/search/{target}/block_library.json",
        children="data/puzzle_studies/coupled/search/{target}/children.json",
    log:
        "logs/puzzle_coupled_search/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_search/{target}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.search"),
        stage=stage("puzzle_coupled_search"),
    message:
        "Search for {wildcards.target} among decoupled and coupled blocks"
    shell:
        STAGE


rule puzzle_coupled_children:
    input:
        parent=PARENT,
        tokens=TOKENS,
        library=LIBRARY,
        coupled_library=COUPLED_FILES["coupled_library"],
        children="data/puzzle_studies/coupled/search/{target}/children.json",
        code=code("puzzle_coupled_children"),
    output:
        metrics="data/puzzle_studies/coupled/children/{target}.json",
    log:
        "logs/puzzle_coupled_children/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_children/{target}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle_studies.coupled",
            "puzzle.space",
            "puzzle.scores",
            "puzzle.calibration",
            "puzzle.heal",
            "puzzle.compute",
            "seed",
        ),
        stage=stage("puzzle_coupled_children", teacher_cache=TEACHER),
    message:
        "Run the {wildcards.target} children of decoupled and coupled blocks"
    shell:
        STAGE


rule puzzle_coupled_report:
    input:
        **COUPLED_FILES,
        code=code("puzzle_coupled_report"),
    output:
        **published(
            "puzzle_coupled",
            texts={"results": "coupled against decoupled"},
            tables={"pairs": "pairs trained together", "children": "children of coupled blocks"},
            figures={"coupled": "coupled against decoupled"},
            shown=("coupled",),
        ),
    log:
        "logs/puzzle_coupled_report.log",
    benchmark:
        "logs/benchmarks/puzzle_coupled_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.coupled", "puzzle.space", "puzzle.library", "seed"),
        stage=stage("puzzle_coupled_report"),
    message:
        "Tables, figure and runs of coupled distillation"
    shell:
        STAGE


rule puzzle_coupled:
    input:
        rules.puzzle_coupled_report.output,
    message:
        "What does joint training of a block's subblocks gain? Not part of `all`"
