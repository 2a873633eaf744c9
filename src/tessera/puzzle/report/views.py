"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, curves, parallel, scatter

#: What a child gains.
CHILDREN = ("blocks_speedup", "blocks_memory_mib")
#: What the runs of each experiment are.
EXPERIMENTS = {
    "puzzle/library": "Block library: losses, distillation and scores of the variants, one run per layer and subblock.",
    "puzzle/costs": "Cost of every variant on one target: time, memory and parameters.",
    "puzzle/frontier": "Children chosen by each method at each throughput, with predicted and measured KL.",
    "puzzle/child": "Healed children, one run per target, method and schedule.",
}
VIEWS = (
    View(
        "puzzle/frontier",
        "Children by budget",
        (
            parallel(("target", "method", "speedup"), (*CHILDREN, "predicted_kl")),
            scatter("blocks_speedup", "predicted_kl"),
        ),
        only="params.method != 'random'",
    ),
    View(
        "puzzle/child",
        "Children by throughput, memory and KL",
        (
            parallel(("target", "method"), (*CHILDREN, "assembled_in_domain_kl_div", "equal_in_domain_kl_div")),
            scatter("blocks_speedup", "equal_in_domain_kl_div"),
            curves("KL while healing", "healing/kl_div", log=True),
        ),
        only="params.method != 'random'",
    ),
    View(
        "puzzle/library",
        "Distillation by variant",
        (curves("attention: loss, mean over layers", "kv1/loss", "linear/loss", log=True),),
        group_by=("subblock",),
    ),
)
