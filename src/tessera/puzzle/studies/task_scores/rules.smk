# Accuracy on task items as the score that is summed, in KL's place. No part of `all`.

TASK_SCORES = PARAMS.puzzle_studies.task_scores
TASK_SCORE_PARTS = expand("data/puzzle_studies/task_scores/scores/part_{part}.json", part=range(TASK_SCORES.jobs))
TASK_SCORE_NAMES = ["kl_div", "error", "choice_nll"]
TASK_ITEMS = "data/puzzle_studies/tasks/items.parquet"
PARENT_ANSWERS = "data/puzzle_studies/tasks/answers/parent.parquet"


wildcard_constraints:
    score="|".join(TASK_SCORE_NAMES),


rule puzzle_task_scores:
    input:
        "reports/tables/puzzle_task_scores/results.md",
        "reports/metrics/puzzle_task_scores",
    message:
        "Task accuracy as the score, beside KL. Not in `all`"


rule puzzle_task_scores_part:
    input:
        parent=PARENT,
        library=LIBRARY,
        table=TASK_ITEMS,
        answers=PARENT_ANSWERS,
        code=code("puzzle_task_scores_part"),
    output:
        scores="data/puzzle_studies/task_scores/scores/part_{part}.json",
    log:
        "logs/puzzle_task_scores_part/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_part/{part}.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.task_scores", "puzzle_studies.tasks", "puzzle.space", "data.tokens"),
    message:
        "Scores by task accuracy, part {wildcards.part}"
    shell:
        "python -m tessera.puzzle.studies.task_scores.stages.part --params {params.cfg:q} --part {wildcards.part}"
        " --parent data/parent --library {input.library} --items {input.table} --answers {input.answers}"
        " --scores {output.scores}"
        f" --cache {KEPT_SCORES}"
        " 2>&1 | tee {log}"


rule puzzle_task_scores_choose:
    input:
        scores=SCORES,
        task_scores=TASK_SCORE_PARTS,
        costs=f"data/puzzle/costs/{TASK_SCORES.target}.parquet",
        code=code("puzzle_task_scores_choose"),
    output:
        children="data/puzzle_studies/task_scores/children.json",
    log:
        "logs/puzzle_task_scores_choose.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_choose.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.task_scores"),
    message:
        "Children by task accuracy and by KL"
    shell:
        "python -m tessera.puzzle.studies.task_scores.stages.choose --params {params.cfg:q} --scores {input.scores}"
        " --task-scores {input.task_scores} --costs {input.costs} --children {output.children} > {log} 2>&1"


rule puzzle_task_scores_heal:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle_studies/task_scores/children.json",
        library=LIBRARY,
        code=code("puzzle_heal"),
    output:
        child=temp(directory("data/puzzle_studies/task_scores/healed/{score}")),
        curve=temp("data/puzzle_studies/task_scores/curves/{score}.json"),
    log:
        "logs/puzzle_task_scores_heal/{score}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_heal/{score}.tsv"
    threads: PROCESSES
    resources:
        gpu=GPUS * PROCESSES,
    params:
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "seed"),
    message:
        "Heal the child of score {wildcards.score}"
    shell:
        HEAL + " --method {wildcards.score} --schedule equal"
        " --checkpoint logs/checkpoints/task_scores-{wildcards.score}.safetensors 2>&1 | tee {log}"


rule puzzle_task_scores_evaluate:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle_studies/task_scores/children.json",
        library=LIBRARY,
        child="data/puzzle_studies/task_scores/healed/{score}",
        code=code("puzzle_evaluate"),
    output:
        metrics="data/puzzle_studies/task_scores/evaluation/{score}.json",
    log:
        "logs/puzzle_task_scores_evaluate/{score}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_evaluate/{score}.tsv"
    threads: 1
    params:
        cfg=section("puzzle.space", "puzzle.evaluate", "data", "seed"),
    message:
        "Evaluate the child of score {wildcards.score}"
    shell:
        "python -m tessera.puzzle.stages.evaluate --params {params.cfg:q} --method {wildcards.score}"
        " --parent data/parent --tokens data/tokens --choices {input.choices} --library {input.library}"
        " --children {input.child} --states equal --metrics {output.metrics} 2>&1 | tee {log}"


rule puzzle_task_scores_answers:
    input:
        parent=PARENT,
        child="data/puzzle_studies/task_scores/healed/{score}",
        table=TASK_ITEMS,
        code=code("puzzle_tasks_answers"),
    output:
        answers="data/puzzle_studies/task_scores/answers/{score}.parquet",
    log:
        "logs/puzzle_task_scores_answers/{score}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_answers/{score}.tsv"
    threads: 1
    params:
        cfg=section("data.tokens"),
    message:
        "Ask the child of score {wildcards.score} the reported items"
    shell:
        "python -m tessera.puzzle.studies.tasks.stages.answers --params {params.cfg:q} --model {input.child}"
        " --parent data/parent --items {input.table} --half odd --answers {output.answers} 2>&1 | tee {log}"


rule puzzle_task_scores_report:
    input:
        scores=SCORES,
        task_scores=TASK_SCORE_PARTS,
        table=TASK_ITEMS,
        answers=[
            PARENT_ANSWERS,
            *expand("data/puzzle_studies/task_scores/answers/{score}.parquet", score=TASK_SCORE_NAMES),
        ],
        children="data/puzzle_studies/task_scores/children.json",
        evaluation=expand("data/puzzle_studies/task_scores/evaluation/{score}.json", score=TASK_SCORE_NAMES),
        code=code("puzzle_task_scores_report"),
    output:
        results=old_item("reports/tables/puzzle_task_scores/results.md", "results in words"),
        variants=old_item("reports/tables/puzzle_task_scores/variants.csv", "scores of the variants"),
        child_table=old_item("reports/tables/puzzle_task_scores/children.csv", "children of each score"),
        figure=old_item("reports/figures/puzzle_task_scores/scores.svg", "task accuracy against KL"),
        metrics="reports/metrics/puzzle_task_scores.json",
        runs=directory("reports/metrics/puzzle_task_scores"),
    log:
        "logs/puzzle_task_scores_report.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.task_scores", "puzzle_studies.tasks", "seed"),
    message:
        "Tables and figure of scores by task accuracy, and their runs"
    shell:
        "python -m tessera.puzzle.studies.task_scores.stages.report --params {params.cfg:q} --scores {input.scores}"
        " --task-scores {input.task_scores} --items {input.table} --answers {input.answers}"
        " --children {input.children} --evaluation {input.evaluation} --results {output.results}"
        " --variants {output.variants} --child-table {output.child_table} --metrics {output.metrics}"
        " --runs {output.runs} --figure {output.figure} > {log} 2>&1"
