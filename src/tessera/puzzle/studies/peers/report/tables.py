"""Tables and runs of the comparison with other ways to prune."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tessera.common import files
from tessera.common.files import Json
from tessera.common.intervals import known, plus_minus
from tessera.common.run_files import RunRecord
from tessera.puzzle.scores.association import ratio

NAMES = {
    "puzzle": "Puzzle",
    "depth": "depth (ShortGPT)",
    "width": "width (Minitron)",
    "flap": "channels and bias (FLAP)",
}
STATES = {"assembled": "before healing", "equal": "after"}
GROUPS = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}
PHASES = ("prefill", "decode", "runtime")
FIGURE = "reports/figures/puzzle_peers/peers.svg"


def read(children: Sequence[Path], speed: Path) -> tuple[list[Json], Json]:
    """Peers' children in the order of their names above, and the times."""
    rows = [files.read_json(path) for path in children]
    return sorted(rows, key=lambda row: [*NAMES].index(row["peer"])), files.read_json(speed)


def peers(rows: Sequence[Json], speed: Json) -> pd.DataFrame:
    """One row a peer: predicted and measured speed-up, and quality by state and group of domains."""
    made = []
    for row in rows:
        timed = speed["models"][row["peer"]]["speedup"]
        one: Json = {"peer": row["peer"], "target": row["target"], "parameters": row["parameters"]}
        one |= {"predicted_blocks_speedup": row["predicted_speedup"]}
        for phase in PHASES:
            if phase in timed:
                one |= {f"cpu_{phase}_speedup": timed[phase], f"cpu_{phase}_spread": known(timed[f"{phase}_spread"])}
        for state in STATES:
            for group in GROUPS:
                if group in row["states"][state]:
                    for key in ("kl_div", "kl_div_se", "top1", "top1_se", "perplexity", "parent_perplexity"):
                        one[f"{state}_{group}_{key}"] = row["states"][state][group][key]
        made.append(one)
    return pd.DataFrame(made)


def domains(rows: Sequence[Json]) -> pd.DataFrame:
    """One row a peer, state and domain."""
    return pd.DataFrame(
        [
            {"peer": row["peer"], "state": state, "domain": domain}
            | {name: value for name, value in numbers.items() if name != "by_window"}
            for row in rows
            for state, found in row["states"].items()
            for domain, numbers in found.items()
        ]
    )


def metrics(rows: Sequence[Json], speed: Json) -> Json:
    """Numbers by peer; STATE_puzzle_ratio: KL of Puzzle's child over the peer's, with its interval over documents."""
    table = peers(rows, speed).set_index("peer")
    made: Json = {
        peer: {k: v for k, v in row.items() if not isinstance(v, str) and v == v}
        for peer, row in table.to_dict("index").items()
    }
    states = {row["peer"]: row["states"] for row in rows}
    for peer in set(states) - {"puzzle"} if "puzzle" in states else ():
        for state in STATES:
            pair = (states[name][state]["in_domain"]["by_window"] for name in ("puzzle", peer))
            made[peer][f"{state}_puzzle_ratio"] = ratio(*pair)
    return made


def markdown(rows: Sequence[Json], speed: Json) -> str:
    """The comparison in one table."""
    lines = [
        "| method | blocks, predicted | whole model, measured | "
        + " | ".join(f"KL {place}, {when}" for when in STATES.values() for place in GROUPS.values())
        + " | top-1, healed | perplexity, healed |",
        "|---|---:|---:|" + "---:|" * (2 * len(GROUPS) + 2),
    ]
    for row in peers(rows, speed).to_dict("records"):
        cells = [NAMES[row["peer"]], f"{row['predicted_blocks_speedup']:.2f}x"]
        cells.append(plus_minus(row["cpu_runtime_speedup"], row["cpu_runtime_spread"], ".2f").replace(" ±", "x ±"))
        for state in STATES:
            for group in GROUPS:
                key = f"{state}_{group}_kl_div"
                cells.append(plus_minus(row[key], row[f"{key}_se"]) if row.get(key) == row.get(key) else "-")
        cells.append(f"{100 * row['equal_in_domain_top1']:.1f} %")
        cells.append(f"{row['equal_in_domain_perplexity']:.1f} ({row['equal_in_domain_parent_perplexity']:.1f})")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Budget: the blocks' time on `{rows[0]['target']}`. KL in nats with standard errors by document; top-1 is the "
        "share of tokens at which the likeliest token is the parent's; perplexity in-domain, the parent's in brackets.",
    ]
    return "\n".join(lines) + "\n"


def runs(rows: Sequence[Json], speed: Json, params: Json, seed: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield RULE/NAME, where the run's file belongs, and the run of each peer."""
    numbers = metrics(rows, speed)
    for row in rows:
        peer, curve = row["peer"], row["curve"]
        record = RunRecord(
            experiment="puzzle/peers",
            name=f"puzzle_peers_child/peer={peer}",
            params={"peer": peer, **params, "seed": seed},
            tags={"snakemake.rule": "puzzle_peers_child", "device": "cpu", "seed": str(seed), "peer": peer},
            metrics={
                key: float(value)
                for key, value in numbers[peer].items()
                if not isinstance(value, dict) and pd.notna(value)
            },
            history={
                f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True))
                for name in ("kl_div", "cosine", "lm_loss")
            },
            figures=[FIGURE],
        )
        yield f"puzzle_peers_child/peer={peer}", record
