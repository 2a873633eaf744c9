"""Tables of the comparison with other ways to prune."""

import pandas as pd

from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.markdown import table as markdown_table
from tessera.puzzle.scores.association import ratio
from tessera.puzzle.studies.peers.report.results import GROUPS, NAMES, PHASES, STATES, Results


def peers(results: Results) -> pd.DataFrame:
    """Predicted and measured speed-up of each peer's child, one per row, and its quality by state and group of
    domains. Columns of what was measured begin with the name of the target that was served.
    """
    rows, served = [], results.speed["target"]
    for child in results.children:
        timed = results.speed["models"][child["peer"]]["speedup"]
        row: Json = {"peer": child["peer"], "target": child["target"], "parameters": child["parameters"]}
        row |= {"predicted_blocks_speedup": child["predicted_speedup"]}
        for phase in PHASES:
            if phase in timed:
                row |= {
                    f"{served}_{phase}_speedup": timed[phase],
                    f"{served}_{phase}_spread": known(timed[f"{phase}_spread"]),
                }
        for state in STATES:
            for group in GROUPS:
                if group in child["states"][state]:
                    for key in ("kl_div", "kl_div_se", "top1", "top1_se", "perplexity", "parent_perplexity"):
                        row[f"{state}_{group}_{key}"] = child["states"][state][group][key]
        rows.append(row)
    return pd.DataFrame(rows)


def domains(results: Results) -> pd.DataFrame:
    """Quality of the peers' children by domain of text, before and after equal healing."""
    return pd.DataFrame(
        [
            {"peer": child["peer"], "state": state, "domain": domain}
            | {name: value for name, value in numbers.items() if name != "by_window"}
            for child in results.children
            for state, by_domain in child["states"].items()
            for domain, numbers in by_domain.items()
        ]
    )


def metrics(results: Results) -> Json:
    """Numbers by peer; STATE_puzzle_ratio: KL of Puzzle's child over the peer's, with its interval over documents."""
    table = peers(results).set_index("peer")
    numbers: Json = {
        peer: {key: value for key, value in row.items() if not isinstance(value, str) and value == value}
        for peer, row in table.to_dict("index").items()
    }
    states = {child["peer"]: child["states"] for child in results.children}
    for peer in set(states) - {"puzzle"} if "puzzle" in states else ():
        for state in STATES:
            pair = (states[name][state]["in_domain"]["by_window"] for name in ("puzzle", peer))
            numbers[peer][f"{state}_puzzle_ratio"] = ratio(*pair)
    return numbers


def markdown(results: Results) -> str:
    """Puzzle compared with other ways to prune, written from their papers, with the same parent, budget on the cost
    target, text, healing and evaluation.

    The others drop whole layers of least block influence (ShortGPT); give every FFN the same smaller width, by
    activation (Minitron); or replace the channels that fluctuate least, over all layers at once, by their mean as a
    bias (FLAP).
    """
    header = ("method", "blocks, predicted", "whole model, measured",
              *(f"KL {place}, {when}" for when in STATES.values() for place in GROUPS.values()),
              "top-1, healed", "perplexity, healed")  # fmt: skip
    rows, served = [], results.speed["target"]
    for row in peers(results).to_dict("records"):
        cells = [NAMES[row["peer"]], f"{row['predicted_blocks_speedup']:.2f}x"]
        cells.append(
            plus_minus(row[f"{served}_runtime_speedup"], row[f"{served}_runtime_spread"], ".2f").replace(" ±", "x ±")
        )
        for state in STATES:
            for group in GROUPS:
                key = f"{state}_{group}_kl_div"
                cells.append(plus_minus(row[key], row[f"{key}_se"]) if row.get(key) == row.get(key) else "-")
        cells.append(f"{100 * row['equal_in_domain_top1']:.1f} %")
        cells.append(f"{row['equal_in_domain_perplexity']:.1f} ({row['equal_in_domain_parent_perplexity']:.1f})")
        rows.append(cells)
    target, speed = results.children[0]["target"], results.speed
    work = speed["workload"]
    lines = [
        *markdown_table(header, rows),
        f"Whole models were served on {speed['hardware']} ({speed['software']}, {speed['dtype']}, batch "
        f"{work['batch']}, {work['prefill']} + {work['decode']} tokens), {speed['date'][:10]}. "
        f"Budget: the blocks' time on `{target}`. KL in nats with standard errors by document; top-1 is "
        "the share of tokens for which the child's likeliest token is the parent's; perplexity in-domain, the parent's "
        "in brackets.",
    ]
    return "\n".join(lines) + "\n"
