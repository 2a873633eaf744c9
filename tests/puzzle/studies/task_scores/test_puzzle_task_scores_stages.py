"""The stages of scores by task accuracy, on a tiny parent with a tokenizer of single characters."""

import pytest
import small_chain
import small_reports
from small_tasks import ASKED, TOKENS, agree, with_tokenizer

from tessera import params as whole
from tessera.common import files
from tessera.common.params import check
from tessera.puzzle import child
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import loading
from tessera.puzzle.scores.choices import log_probabilities
from tessera.puzzle.scores.retention import correct, right_answers, selections
from tessera.puzzle.scores.task_items import tokenised
from tessera.puzzle.stages import evaluate_child as evaluate
from tessera.puzzle.stages import heal as puzzle_heal
from tessera.puzzle.stages import scores_part as puzzle_scores
from tessera.puzzle.studies.task_scores import score as task_score
from tessera.puzzle.studies.task_scores.report import REPORT
from tessera.puzzle.studies.task_scores.stages import choose
from tessera.puzzle.studies.task_scores.stages import part as puzzle_task_scores_part
from tessera.puzzle.studies.task_scores.stages import report as puzzle_task_scores_report
from tessera.puzzle.studies.tasks.stages import answers as puzzle_tasks_answers
from tessera.puzzle.studies.tasks.stages import items as puzzle_tasks_items

SCORES = ("kl_div", "error", "choice_nll")
OPTIMISER = {"batch_windows": 2, "learning_rate": 1e-3, "tokens": 80}
ABOUT = {
    "source": "roofline",
    "hardware": "h100-sxm",
    "dtype": "bfloat16",
    "workload": {"batch": 1, "prefill": 8, "decode": 2},
}
PARAMS = small_chain.EVALUATION | {
    "seed": 3,
    "margin": 0.0,
    "bootstrap": 200,
    "tokens": TOKENS.model_dump(),
    "compute": {"device": "cpu", "dtype": "float32"},
    "tasks": {
        "groups": {
            "syntax": {"agreement_simple": 40, "hyperbaton": 40},
            "knowledge": {"general_knowledge": 60},
        },
        "characters": 120,
        "margin": 0.0,
        "methods": ["mip"],
        "bootstrap": 200,
        "samples": {"sources": ["wiki_leads"], "prompt": 5, "tokens": 6, "temperature": 0.7},
        "repeats": 2,
    },
    "task_scores": {"jobs": 2, "items": {"agreement_simple": 8, "hyperbaton": 12}, "target": "here", "speedup": 1.3},
    "scores": {"jobs": 1, "windows": 3, "window": 19},
    "calibration": {"tokens": 300, "window": 20, "shards": 1},
    "heal": {
        "cosine": 1.0, "kl": 1.0, "lm": 0.0, "train": "blocks", "checkpoint_steps": 2,
        "equal": OPTIMISER, "full": OPTIMISER,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def params(variants):
    """PARAMS as the parameters of one stage."""

    def of(stage, **changes):
        values = PARAMS | {"space": variants.model_dump(mode="json")} | changes
        return check(stage.Params, {name: values[name] for name in stage.Params.model_fields})

    return of


@pytest.fixture(scope="module")
def out(params, parent, library, variants, tokens, repository, tmp_path_factory):
    """Everything that the study writes."""
    out = tmp_path_factory.mktemp("task_scores")
    place, items, answers = with_tokenizer(parent(), out / "parent"), out / "items.parquet", out / "answers"
    archive = repository / "data/tasks/bigbench.zip"
    puzzle_tasks_items.main(params(puzzle_tasks_items), archive, items)
    agree(items, place, out / "asked.parquet")
    puzzle_tasks_answers.main(ASKED, place, place, items, "all", answers / "parent.parquet")
    puzzle_scores.main(params(puzzle_scores), 0, place, tokens, library(), out / "kl.json")
    for part in range(2):
        puzzle_task_scores_part.main(
            params(puzzle_task_scores_part), part, place, library(), items, answers / "parent.parquet",
            out / f"part_{part}.json", out / "cache",
        )  # fmt: skip
    costs = of_target(architectures.read(place), variants, CostTarget.model_validate(ABOUT))
    files.write_parquet(out / "costs.parquet", costs)
    settings = params(puzzle_task_scores_part).task_scores
    parts = [out / f"part_{part}.json" for part in range(2)]
    choose.main(settings, [out / "kl.json"], parts, out / "costs.parquet", out / "children.json")
    for score in SCORES:
        healed = out / f"healed/{score}"
        puzzle_heal.main(
            params(puzzle_heal), score, "equal", place, tokens, out / "children.json", library(),
            out / "checkpoint.safetensors", healed, out / f"curves/{score}.json",
        )  # fmt: skip
        evaluate.main(
            params(evaluate), score, place, tokens, out / "children.json", library(), [healed], ["equal"],
            out / f"evaluation/{score}.json",
        )  # fmt: skip
        puzzle_tasks_answers.main(ASKED, healed, place, items, "odd", answers / f"{score}.parquet")
    return out


def report(out, params, place):
    named = small_reports.arguments(REPORT, place)
    puzzle_task_scores_report.main(
        params(puzzle_task_scores_report),
        [out / "kl.json"],
        [out / f"part_{part}.json" for part in range(2)],
        out / "items.parquet",
        [out / f"answers/{name}.parquet" for name in ("parent", *SCORES)],
        out / "children.json",
        [out / f"evaluation/{score}.json" for score in SCORES],
        **named,
    )
    return named


def test_scores_of_one_exchange_are_the_answers_of_that_child(out, params, parent, library, variants):
    """What a stage writes of a variant is what the child that it makes answers to the same items."""
    place, table = out / "parent", files.read_parquet(out / "items.parquet").set_index(["set", "index"])
    own = right_answers(table, files.read_parquet(out / "answers/parent.parquet"))
    asked = task_score.chosen(table, selections(table, own, 0.0), PARAMS["task_scores"]["items"])
    assert len(asked) == 20 and (asked.index.get_level_values("index") % 2 == 0).all()
    scores = files.read_json(out / "part_1.json")
    assert list(scores) == ["1"] and set(scores["1"]["attention"]) == {"parent", *variants.attention}
    assert scores["1"]["attention"]["parent"]["error"] == 0.0
    model = loading.load(place).requires_grad_(False)
    items = tokenised(asked, place, TOKENS.separator)
    for name, block in (("parent", "parent+parent"), ("kv1", "kv1+parent")):
        whole = child.assemble(model, variants, library(), ["parent+parent", block, "parent+parent"])
        right = [
            correct(values, [len(choice.encode()) for choice in item.choices], item.answer, item.metric)
            for values, item in zip(log_probabilities(whole, items), asked.itertuples(), strict=True)
        ]
        assert scores["1"]["attention"][name]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_scores_are_kept_by_their_content(out, params, library, tmp_path, monkeypatch):
    """Asked again nothing is computed; of other items all is."""
    asked, score = [], task_score.score

    def counted(model, some, *others):
        asked.append(sum(len(named) for parts in some.values() for named in parts.values()))
        return score(model, some, *others)

    monkeypatch.setattr(task_score, "score", counted)

    def run(**changes):
        puzzle_task_scores_part.main(
            params(puzzle_task_scores_part, **changes), 1, out / "parent", library(), out / "items.parquet",
            out / "answers/parent.parquet", tmp_path / "part.json", out / "cache",
        )  # fmt: skip
        return files.read_json(tmp_path / "part.json")

    assert run() == files.read_json(out / "part_1.json") and asked == []
    run(task_scores=PARAMS["task_scores"] | {"items": {"agreement_simple": 8}})
    assert asked == [7]


def test_children_are_the_optima_of_their_scores(out):
    made = files.read_json(out / "children.json")["children"]
    assert list(made) == sorted(SCORES)
    for score in SCORES:
        assert made[score]["status"] == "optimal"
        assert made[score]["sums"][score] == pytest.approx(made[score]["value"])
        assert all(made[score]["sums"][score] <= other["sums"][score] + 1e-9 for other in made.values())


def test_report_and_runs(out, params, tmp_path):
    named = report(out, params, tmp_path)
    first = small_reports.content(tmp_path)
    report(out, params, tmp_path)
    assert small_reports.content(tmp_path) == first
    variants, numbers = files.read_csv(tmp_path / "tables/variants.csv"), files.read_json(named["metrics"])
    assert len(variants) == numbers["variants"] == 3 * 7 and numbers["items"] == 20
    assert numbers["noise"]["error"]["values"] == variants["error"].nunique()
    assert numbers["models"]["kl_div"]["all"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    table = files.read_parquet(out / "items.parquet").set_index(["set", "index"])
    own, right = (right_answers(table, files.read_parquet(out / f"answers/{n}.parquet")) for n in ("parent", "error"))
    kept = {name: one.metric for name, one in selections(table, own, 0.0).items() if one.kept}
    reported = [right[kept[name]][n] for n, (name, index) in enumerate(table.index) if index % 2 and name in kept]
    assert numbers["models"]["error"]["all"]["accuracy"]["value"] == pytest.approx(sum(reported) / len(reported))
    assert numbers["reported"]["scored"] < numbers["reported"]["all"]
    text, runs = (tmp_path / "texts/results.md").read_text(), small_reports.runs(tmp_path)
    assert set(runs) == set(SCORES)
    assert "| error on items |" in text and "steps of 5.0 points" in text
    for score in SCORES:
        assert runs[score].metrics[f"sum_{score}"] == files.read_json(out / "children.json")["children"][score]["value"]


def test_scores_of_other_layers_are_refused(out, params, tmp_path):
    settings = params(puzzle_task_scores_part).task_scores
    with pytest.raises(ValueError, match=r"part_0.json: other layers than .*kl.json"):
        choose.main(
            settings, [out / "kl.json"], [out / "part_0.json"], out / "costs.parquet", tmp_path / "children.json"
        )


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"agreement_simple": 51}, r"task_scores\.items\.agreement_simple = 51: tasks\.groups draws 50 that choose"),
        ({"agreement_simple": 1}, "agreement_simple: expected at least 2 items"),
        ({"agreement_simple": None, "agreement_nounpp": None}, "hyperbaton"),
    ],
)
def test_items_that_are_not_drawn_are_refused(repository, items, message, tmp_path):
    text = {"puzzle_studies": {"task_scores": {"items": items}}}
    if None in items.values():
        text["puzzle_studies"]["tasks"] = {"groups": {"syntax": {"hyperbaton": None}}}
    files.write_text(tmp_path / "overlay.yaml", files.to_json(text))
    with pytest.raises(ValueError, match=message):
        whole.load(repository / "params.yaml", tmp_path / "overlay.yaml")
