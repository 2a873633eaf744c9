# Healing curve: how many tokens does healing need? Not part of `all`.

CURVE = PARAMS.puzzle_studies.healing_curve
WRITTEN_LOSS = ["data/puzzle_studies/healing_curve/tokens/loss_valid.npy"] if PARAMS.data.text.masked else []
# Training text by its name.
CURVE_TEXT = {
    "own": TOKENS,
    "written": [
        "data/puzzle_studies/healing_curve/tokens/train.npy",
        "data/puzzle_studies/healing_curve/tokens/valid.npy",
        "data/puzzle_studies/healing_curve/tokens/documents.parquet",
        *WRITTEN_LOSS,
    ],
}


wildcard_constraints:
    healing_text="|".join(CURVE_TEXT),
    healing_tokens=r"\d+",


def curve_section(wildcards):
    """What healing reads, with the study's number of tokens, of text that is not seen twice."""
    full = PARAMS.puzzle.heal.full.model_copy(update={"tokens": int(wildcards.healing_tokens)})
    calibration = PARAMS.puzzle.calibration.model_copy(update={"tokens": CURVE.tokens[-1]})
    text = canonical(
        {"space": "puzzle.space", "compute": "puzzle.compute", "seed": "seed"},
        heal=PARAMS.puzzle.heal.model_copy(update={"full": full}).model_dump(mode="json"),
        calibration=calibration.model_dump(mode="json"),
    )
    SECTIONS[text].update(("puzzle.heal", "puzzle.calibration", "puzzle_studies.healing_curve"))
    return text


def curve_evaluation():
    """What evaluation reads, with the study's number of windows."""
    evaluation = PARAMS.puzzle.evaluate.model_copy(update={"windows": CURVE.windows})
    text = canonical(
        {"space": "puzzle.space", "data": "data", "compute": "puzzle.compute", "seed": "seed"},
        evaluate=evaluation.model_dump(mode="json"),
    )
    SECTIONS[text].update(("puzzle.evaluate", "puzzle_studies.healing_curve"))
    return text


rule puzzle_healing_curve_text:
    input:
        parent=PARENT,
        tokens=TOKENS,
        code=code("puzzle_healing_curve_text"),
    output:
        streams=CURVE_TEXT["written"][:2],
        loss=WRITTEN_LOSS,
        documents=CURVE_TEXT["written"][2],
    log:
        "logs/puzzle_healing_curve_text.log",
    benchmark:
        "logs/benchmarks/puzzle_healing_curve_text.tsv"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        cfg=section("puzzle_studies.healing_curve", "puzzle.calibration", "puzzle.compute", "seed"),
        stage=stage("puzzle_healing_curve_text"),
    message:
        "Text that the parent writes"
    shell:
        STAGE


rule puzzle_healing_curve_heal:
    input:
        **REFITTED,
        parent=PARENT,
        tokens=lambda wildcards: CURVE_TEXT[wildcards.healing_text],
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        code=code("puzzle_heal"),
    output:
        child=temp(directory("data/puzzle_studies/healing_curve/children/{target}/{healing_text}/{healing_tokens}")),
        curve="data/puzzle_studies/healing_curve/curves/{target}/{healing_text}/{healing_tokens}.json",
    log:
        "logs/puzzle_healing_curve_heal/{target}/{healing_text}/{healing_tokens}.log",
    benchmark:
        "logs/benchmarks/puzzle_healing_curve_heal/{target}/{healing_text}/{healing_tokens}.tsv"
    priority: 1
    threads: PROCESSES
    resources:
        gpu=GPUS * PROCESSES,
    params:
        cfg=curve_section,
        stage=stage(
            "puzzle_heal",
            method=KEPT,
            schedule="full",
            checkpoint=lambda wildcards: "logs/checkpoints/"
            f"curve-{wildcards.target}-{wildcards.healing_text}-{wildcards.healing_tokens}.safetensors",
            teacher_cache=TEACHER,
        ),
    message:
        "Heal the {wildcards.target} child with {wildcards.healing_tokens} tokens ({wildcards.healing_text})"
    shell:
        HEAL_STAGE


def curve_children(wildcards):
    """The child before healing, if it was refitted, and after each healing, by the names of their states."""
    place = f"data/puzzle_studies/healing_curve/children/{wildcards.target}/{wildcards.healing_text}"
    return {f"healed-{tokens}": f"{place}/{tokens}" for tokens in CURVE.tokens} | {
        "start": path.format(target=wildcards.target) for path in REFITTED.values()
    }


rule puzzle_healing_curve_evaluate:
    input:
        parent=PARENT,
        tokens=TOKENS,
        choices="data/puzzle/search/{target}/children.json",
        library=LIBRARY,
        children=lambda wildcards: curve_children(wildcards).values(),
        code=code("puzzle_evaluate_child"),
    output:
        metrics="data/puzzle_studies/healing_curve/evaluation/{target}/{healing_text}.json",
    log:
        "logs/puzzle_healing_curve_evaluate/{target}/{healing_text}.log",
    benchmark:
        "logs/benchmarks/puzzle_healing_curve_evaluate/{target}/{healing_text}.tsv"
    threads: 1
    resources:
        gpu=SPREAD_GPUS,
    params:
        cfg=curve_evaluation(),
        stage=stage("puzzle_evaluate_child", method=KEPT, states=lambda wildcards: list(curve_children(wildcards))),
    message:
        "Evaluate the healings of the {wildcards.target} child ({wildcards.healing_text})"
    shell:
        STAGE


rule puzzle_healing_curve_report:
    input:
        config="data/parent/config.json",
        evaluation=expand(
            "data/puzzle_studies/healing_curve/evaluation/{target}/{text}.json", target=TARGETS, text=CURVE.texts
        ),
        curves=expand(
            "data/puzzle_studies/healing_curve/curves/{target}/{text}/{tokens}.json",
            target=TARGETS,
            text=CURVE.texts,
            tokens=CURVE.tokens,
        ),
        code=code("puzzle_healing_curve_report"),
    output:
        **published(
            "puzzle_healing_curve",
            texts={"results": "tokens that healing needs"},
            tables={"points": "KL after each healing"},
            figures={"curves": "KL by tokens of healing"},
            shown=("curves",),
        ),
    log:
        "logs/puzzle_healing_curve_report.log",
    benchmark:
        "logs/benchmarks/puzzle_healing_curve_report.tsv"
    threads: 1
    params:
        cfg=section("puzzle_studies.healing_curve", "seed"),
        stage=stage("puzzle_healing_curve_report"),
    message:
        "Table, figure and runs of the curves of healing"
    shell:
        STAGE


rule puzzle_healing_curve:
    input:
        rules.puzzle_healing_curve_report.output,
    message:
        "How many tokens does healing need? Not part of `all`"
