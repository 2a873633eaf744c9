# Task scores: which child is chosen when task accuracy replaces KL as the summed score? Not part of `all`.

TASK_SCORES = PARAMS.puzzle_studies.task_scores
TASK_SCORES_TARGET = cost_target("puzzle_studies.task_scores.target")
TASK_SCORE_NAMES = ["kl_div", "error", "choice_nll"]
TASK_SCORE_CHILDREN = "data/puzzle_studies/task_scores/children.json"

# What the report reads, by the arguments of its stage. Items and the parent's answers are those of the study of tasks.
TASK_SCORES_FILES = {
    "scores": SCORES,
    "task_scores": expand("data/puzzle_studies/task_scores/scores/part_{part}.json", part=range(TASK_SCORES.jobs)),
    "table": "data/puzzle_studies/tasks/items.parquet",
    "answers": [
        "data/puzzle_studies/tasks/answers/parent.parquet",
        *expand("data/puzzle_studies/task_scores/answers/{score}.parquet", score=TASK_SCORE_NAMES),
    ],
    "children": TASK_SCORE_CHILDREN,
    "evaluation": expand("data/puzzle_studies/task_scores/evaluation/{score}.json", score=TASK_SCORE_NAMES),
}


wildcard_constraints:
    score="|".join(TASK_SCORE_NAMES),


rule puzzle_task_scores_part:
    input:
        parent=PARENT,
        library=LIBRARY,
        table=TASK_SCORES_FILES["table"],
        answers=TASK_SCORES_FILES["answers"][0],
        code=code("puzzle_task_scores_part"),
    output:
        scores="data/puzzle_studies/task_scores/scores/part_{part}.json",
    log:
        "logs/puzzle_task_scores_part/{part}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_part/{part}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section(
            "puzzle.compute",
            "puzzle_studies.task_scores",
            "puzzle_studies.tasks.margin",
            "puzzle.space",
            "data.tokens",
        ),
        stage=stage("puzzle_task_scores_part", cache=KEPT_SCORES),
    message:
        "Scores by task accuracy, part {wildcards.part}"
    shell:
        STAGE


rule puzzle_task_scores_choose:
    input:
        scores=SCORES,
        task_scores=TASK_SCORES_FILES["task_scores"],
        costs=f"data/puzzle/costs/{TASK_SCORES_TARGET}.parquet",
        code=code("puzzle_task_scores_choose"),
    output:
        children=TASK_SCORE_CHILDREN,
    log:
        "logs/puzzle_task_scores_choose.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_choose.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.task_scores"),
        stage=stage("puzzle_task_scores_choose"),
    message:
        "Children by task accuracy and by KL"
    shell:
        STAGE


rule puzzle_task_scores_heal:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices=TASK_SCORE_CHILDREN,
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
        cfg=section("puzzle.space", "puzzle.calibration", "puzzle.heal", "puzzle.compute", "seed"),
        stage=stage(
            "puzzle_heal",
            method=lambda wildcards: wildcards.score,
            schedule="equal",
            checkpoint=lambda wildcards: f"logs/checkpoints/task_scores-{wildcards.score}.safetensors",
            teacher_cache=TEACHER,
        ),
    message:
        "Heal the child of score {wildcards.score}"
    shell:
        HEAL_STAGE


rule puzzle_task_scores_evaluate:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices=TASK_SCORE_CHILDREN,
        library=LIBRARY,
        children="data/puzzle_studies/task_scores/healed/{score}",
        code=code("puzzle_evaluate_child"),
    output:
        metrics="data/puzzle_studies/task_scores/evaluation/{score}.json",
    log:
        "logs/puzzle_task_scores_evaluate/{score}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_evaluate/{score}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle.space", "puzzle.evaluate", "data", "puzzle.compute", "seed"),
        stage=stage("puzzle_evaluate_child", method=lambda wildcards: wildcards.score, states="equal"),
    message:
        "Evaluate the child of score {wildcards.score}"
    shell:
        STAGE


rule puzzle_task_scores_answers:
    input:
        parent=PARENT,
        model="data/puzzle_studies/task_scores/healed/{score}",
        table=TASK_SCORES_FILES["table"],
        code=code("puzzle_tasks_answers"),
    output:
        answers="data/puzzle_studies/task_scores/answers/{score}.parquet",
    log:
        "logs/puzzle_task_scores_answers/{score}.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_answers/{score}.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle.compute", "data.tokens"),
        stage=stage("puzzle_tasks_answers", half="odd"),
    message:
        "Ask the child of score {wildcards.score} the reported items"
    shell:
        STAGE


rule puzzle_task_scores_report:
    input:
        **TASK_SCORES_FILES,
        code=code("puzzle_task_scores_report"),
    output:
        **published(
            "puzzle_task_scores",
            texts={"results": "children of each score"},
            tables={"variants": "scores of the variants", "children": "children of each score"},
            figures={"scores": "task accuracy against KL"},
            shown=("scores",),
        ),
    log:
        "logs/puzzle_task_scores_report.log",
    benchmark:
        "logs/benchmarks/puzzle_task_scores_report.tsv"
    threads: 1
    params:
        cfg=section(
            "puzzle_studies.task_scores", "puzzle_studies.tasks.margin", "puzzle_studies.tasks.bootstrap", "seed"
        ),
        stage=stage("puzzle_task_scores_report"),
    message:
        "Tables, figure and runs of scores by task accuracy"
    shell:
        STAGE


rule puzzle_task_scores:
    input:
        rules.puzzle_task_scores_report.output,
    message:
        "Task accuracy as the score, compared with KL. Not part of `all`"
