# Beside Puzzle's main chain: export of the kept children. Nothing here is read by the chain.


rule puzzle_export:
    input:
        expand("data/puzzle/export/{target}", target=TARGETS),
    message:
        "The kept children as directories that can be published"


rule puzzle_export_child:
    input:
        parent=PARENT,
        source=parent_files(),
        child="data/puzzle/children/{target}",
        curve="data/puzzle/curves/{target}/full.json",
        choices="data/puzzle/search/{target}/children.json",
        info="data/puzzle/search/{target}/measurement_info.json",
        evaluation=f"data/puzzle/evaluation/{{target}}-{KEPT}.json",
        code=code("puzzle_export"),
    output:
        export=directory("data/puzzle/export/{target}"),
    log:
        "logs/puzzle_export/{target}.log",
    benchmark:
        "logs/benchmarks/puzzle_export/{target}.tsv"
    threads: 1
    params:
        cfg=section(
            "puzzle_extras.export",
            "data.parent",
            member=member(PACKAGES.get(PARENT_NAME), "gguf"),
            sources={
                source: {"package": package.name, "content": package.content}
                for source in SOURCES
                for package in [packages.holding(PACKAGES, source)]
            },
        ),
    message:
        "Export the {wildcards.target} child"
    shell:
        f"python -m tessera.stages.puzzle_export --params {{params.cfg:q}} --method {KEPT}"
        " --target {wildcards.target} --parent data/parent --source {input.source:q} --child {input.child}"
        " --curve {input.curve} --choices {input.choices} --info {input.info} --evaluation {input.evaluation}"
        " --export {output.export} 2>&1 | tee {log}"
