"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, bars, curves

#: What the runs of each experiment are.
EXPERIMENTS = {
    "bayesopt/benchmark": "Optimisers on three functions: one run per function, sampler, schedule and seed.",
    "bayesopt/full": "Optimisers, with those of other packages, on twelve functions.",
    "bayesopt/ablations": "Parts of the methods taken away, and put around other methods.",
    "bayesopt/noise": "Optimisers on noisy functions.",
    "bayesopt/single": "Optimisers with one evaluation at a time.",
    "bayesopt/sixteen": "Optimisers with sixteen evaluations at a time.",
    "bayesopt/branin": "A study of the workflow on Branin's function: one run per trial.",
    "bayesopt/tempotron": "Learning rate and momentum of the tempotron, tuned: one run per trial.",
    "bayesopt/tsvm": "The temporal support vector machine's hold window and kernel, tuned: one run per trial.",
    "bayesopt/puzzle": "Rates and losses of Puzzle's distillation, tuned: one run per trial.",
}
VIEWS = (
    View(
        "bayesopt/benchmark",
        "Branin by sampler",
        (curves("regret, mean over seeds", "regret", log=True), bars("edge_enrichment")),
        only="tags.function = 'branin'",
        group_by=("sampler", "schedule"),
    ),
)
