"""Write one shard of a noisy line y = kx."""

import argparse
import json
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--raw", type=Path)
parser.add_argument("--noise", type=Path)
parser.add_argument("--cfg", type=json.loads)
parser.add_argument("--shard", type=int)
parser.add_argument("--out", type=Path)
a = parser.parse_args()
with Path(os.environ["TINY_RUNS"]).open("a") as log:
    log.write(f"shard {a.shard}\n")
slope = float(a.raw.read_text())
noise = [float(line) for line in a.noise.read_text().split()]
points = range(a.shard, a.cfg["rows"], a.cfg["shards"])
a.out.write_text("".join(f"{x},{slope * x + noise[x]}\n" for x in points))
