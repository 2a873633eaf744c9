"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, curves, parallel, scatter

#: What a child gains.
CHILDREN = ("blocks_speedup", "blocks_memory_mib")
#: What the runs of each experiment are.
EXPERIMENTS: dict[str, str] = {}
VIEWS = (
    View(
        "puzzle/frontier",
        "Children by budget",
        (
            parallel(("method", "speedup"), (*CHILDREN, "predicted_kl")),
            scatter("blocks_speedup", "predicted_kl"),
        ),
        only="tags.target = 'h100' and params.method != 'random'",
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
        (
            curves("attention: loss, mean over layers", "kv1/loss", "linear/loss", log=True),
            curves("FFN: loss, mean over layers", "ffn75/loss", "ffn50/loss", "ffn25/loss", log=True),
        ),
        group_by=("subblock",),
    ),
)
