"""Tables of the ablations."""

import itertools
import math

import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.common.markdown import table as markdown_table
from tessera.puzzle.studies.ablations.report.results import PLACES, STATES, Results
from tessera.puzzle.studies.ablations.seed_means import mean_and_half

METRICS = ("kl_div", "lm_loss", "top1")


def blocks(results: Results) -> pd.DataFrame:
    """Held-out loss of distilled blocks by variant, initialisation and tokens: mean over layers, and over seeds with
    its interval.

    flops is the work to make one such block, a mean over layers.
    """
    keys = ["variant", "initialisation", "tokens"]
    table = pd.DataFrame([{**row, "loss": row["distilled"][results.loss]} for row in results.blocks])
    by_seed = table.groupby([*keys, "replicate"], sort=False)[["loss", "flops"]].mean()
    return pd.DataFrame(
        [
            dict(zip([*keys, "mean", "half"], [*key, *mean_and_half(list(group.loss))], strict=True))
            | {"flops": group.flops.mean()}
            for key, group in by_seed.groupby(level=[0, 1, 2], sort=False)
        ]
    )


def cases(results: Results) -> pd.DataFrame:
    """KL, next-token loss and agreement of every case's children by domain, as assembled and healed, one row per case:
    means over seeds with intervals.

    STATE_PLACE_ratio is the quotient of the KL of a case and that of the case in `against`, geometric mean over seeds,
    whose text and order both share, between _ratio_low and _ratio_high at 95 %.
    """
    against = {name: case.against for name, case in results.params.cases.items()}
    kl = {
        (state, place, row["case"], row["replicate"]): row[state][place]["kl_div"]
        for row in results.children
        for state in STATES
        for place in PLACES
    }
    rows = []
    for case in dict.fromkeys(row["case"] for row in results.children):
        of_case = [row for row in results.children if row["case"] == case]
        summary: Json = {"case": case, "against": against[case], "seeds": len(of_case)}
        for state, place in itertools.product(STATES, PLACES):
            name = f"{state}_{place}"
            for metric in METRICS:
                mean, half = mean_and_half([row[state][place][metric] for row in of_case])
                summary |= {f"{name}_{metric}": mean, f"{name}_{metric}_half": half}
            summary[f"{name}_kl_div_se"] = max(known(row[state][place]["kl_div_se"]) for row in of_case)
            pairs = [[kl[state, place, c, row["replicate"]] for c in (case, against[case])] for row in of_case]
            mean, half = mean_and_half([math.log(mine / other) for mine, other in pairs])
            summary[f"{name}_ratio"] = math.exp(mean)
            for side, sign in (("low", -1), ("high", 1)):
                summary[f"{name}_ratio_{side}"] = None if half is None else math.exp(mean + sign * half)
        rows.append(summary)
    return pd.DataFrame(rows)


def metrics(results: Results) -> Json:
    """The table of cases by case."""
    table = cases(results)
    return table.astype(object).where(table.notna(), None).set_index("case").to_dict("index")


def markdown(results: Results) -> str:
    """Children at one budget, each with one part of the method exchanged: the loss of healing, the score that the
    search sums, the space, the way to choose, how blocks are made, or the text.

    Intervals are over seeds of training text and its order.
    """
    header = ("case", "KL assembled", "KL healed", "out of domain, healed", "next-token loss healed", "against",
              "KL relative")  # fmt: skip
    names = (
        "assembled_in_domain_kl_div",
        "healed_in_domain_kl_div",
        "healed_out_of_domain_kl_div",
        "healed_in_domain_lm_loss",
    )

    def cell(row: Json, name: str) -> str:
        half = row[f"{name}_half"]
        return f"{row[name]:.3f}" + ("" if pd.isna(half) else f" ± {half:.3f}")

    rows = []
    for row in cases(results).to_dict("records"):
        low, high = row["healed_in_domain_ratio_low"], row["healed_in_domain_ratio_high"]
        relative = f"{row['healed_in_domain_ratio']:.3f}" + ("" if pd.isna(low) else f" ({low:.3f} to {high:.3f})")
        if row["case"] == row["against"]:
            relative = ""
        rows.append((row["case"], *(cell(row, name) for name in names), row["against"], relative))
    lines = [
        *markdown_table(header, rows),
        "± is half the 95 % interval over seeds (of text and its order), by Student's t. KL relative is the quotient "
        "of healed KL in domain, seed by seed, with the case in the column before it, with the same interval.",
    ]
    return "\n".join(lines) + "\n"
