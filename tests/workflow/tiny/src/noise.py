"""Write a normal sample."""

import argparse
import json
import os
import random
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--cfg", type=json.loads)
parser.add_argument("--out", type=Path)
a = parser.parse_args()
with Path(os.environ["TINY_RUNS"]).open("a") as log:
    log.write("noise\n")
draw = random.Random(1)
a.out.write_text("".join(f"{draw.gauss(0, a.cfg['scale'])}\n" for _ in range(500)))
