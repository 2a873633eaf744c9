"""Profile block shapes on the machine at hand: one portable table, for any machine with torch, pandas and pydantic.

    python -m tessera.puzzle.stages.profile --device cuda --shapes llama-3.1-8b llama-3.1-70b --dtypes bfloat16 fp8
        --batch 64 --prefill 512 --decode 512 --out data/profiles

No rule of the workflow runs it: its tables are inputs, measured once on hardware that is not always at hand.
"""

import datetime
from pathlib import Path
from typing import Literal

from tessera.common import files, stage


def main(
    shapes: list[str],
    out: Path,
    device: Literal["cpu", "cuda"] = "cpu",
    dtypes: list[str] = ["bfloat16"],  # noqa: B006  argparse wants a list
    batch: int = 1,
    prefill: int = 128,
    decode: int = 128,
    repeats: int = 15,
    threads: int = 0,
) -> None:
    """Write OUT/SHAPE-DTYPE-DEVICE.csv and .json for every shape and type; threads of a CPU, 0 for torch's choice."""
    from tessera.puzzle.costs import profile

    valid = ("float32", "float16", "bfloat16", "fp8")
    wrong = [dtype for dtype in dtypes if dtype not in valid]
    if wrong:
        raise ValueError(f"--dtypes: {', '.join(wrong)}; expected some of {', '.join(valid)}")
    known = [(name, profile.shape(name)) for name in shapes]  # all, before the first is measured
    settings = {"workload": {"batch": batch, "prefill": prefill, "decode": decode}, "repeats": repeats}
    settings |= {"threads": threads} if threads else {}
    for name, shape in known:
        for dtype in dtypes:
            table = profile.profile(shape, profile.space(shape), device, dtype, **settings)
            label = Path(name).parent.name if Path(name).is_file() else name
            stem = f"{label}-{dtype}-{device}-b{batch}-{prefill}-{decode}"
            date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            files.write_csv(out / f"{stem}.csv", table)
            files.write_json(out / f"{stem}.json", profile.about(table, name, device) | settings | {"date": date})
            print(f"{out / stem}.csv", flush=True)


if __name__ == "__main__":
    stage.run(main)
