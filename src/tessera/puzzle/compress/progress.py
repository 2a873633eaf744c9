"""How far a run is, in seconds of the plan: from what Snakemake says and the logs that its jobs write."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tessera.puzzle.compress.steps import Step

#: Seconds of a job whose rule is in no step.
UNKNOWN = 2.0
FINISHED = re.compile(r"Finished jobid: \d+ \(Rule: (\w+)\)")
#: A row of Snakemake's table of jobs.
ROW = re.compile(r"(\w+)\s+(\d+)")


class Progress:
    """Ticks of a second each; `total` is known once Snakemake has said what it will run."""

    def __init__(self, steps: list[Step], logs: Path) -> None:
        """logs is the directory of the rules' logs."""
        self.names = {rule: step.name for step in steps for rule in step.rules}
        self.seconds = {rule: one for step in steps for rule, one in step.rules.items()}
        self.at_once = {rule: min(step.at_once, step.jobs[rule]) for step in steps for rule in step.rules}
        self.logs, self.begun = logs, time.time()
        self.asked: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.running: dict[str, float] = {}
        self.told: set[str] = set()
        self._in_table = False

    @property
    def known(self) -> bool:
        """Whether Snakemake has said what it will run."""
        return bool(self.asked) and not self._in_table

    @property
    def total(self) -> int:
        """Seconds that the jobs of this run take by the plan."""
        return max(1, round(sum(count * self._share(rule) for rule, count in self.asked.items())))

    def _share(self, rule: str) -> float:
        """Seconds that a job adds to the run, some being run at once."""
        return self.seconds.get(rule, UNKNOWN) / self.at_once.get(rule, 1)

    def read(self, line: str) -> None:
        """Take in a line of Snakemake."""
        line = line.strip()
        if line.startswith("Job stats:"):
            self._in_table, self.asked = True, Counter()
        elif self._in_table and (row := ROW.fullmatch(line)):
            self._in_table = row[1] != "total"
            if self._in_table:
                self.asked[row[1]] += int(row[2])
        elif found := FINISHED.search(line):
            self.done[found[1]] += 1

    def now(self) -> int:
        """Seconds that are done, jobs that run counted by the time that they have run."""
        done = sum(count * self._share(rule) for rule, count in self.done.items())
        for rule, began in self._begun().items():
            passed = min(time.time() - began, 0.95 * self.seconds.get(rule, UNKNOWN))
            done += passed / self.at_once.get(rule, 1)
        return min(self.total - 1, int(done))

    def _begun(self) -> dict[str, float]:
        """When the first job that runs of each rule began."""
        for rule in self.asked:
            place = self.logs / rule
            own = [*place.rglob("*.log")] if place.is_dir() else [self.logs / f"{rule}.log"]
            fresh = sum(path.is_file() and path.stat().st_mtime >= self.begun - 1 for path in own)
            if self.done[rule] < min(fresh, self.asked[rule]):
                self.running.setdefault(rule, time.time())
            else:
                self.running.pop(rule, None)
        return self.running

    def ended(self) -> Iterator[str]:
        """Steps of which all jobs have ended since the last call."""
        for name in dict.fromkeys(self.names[rule] for rule in self.asked if rule in self.names):
            rules = [rule for rule in self.asked if self.names.get(rule) == name]
            if name not in self.told and all(self.done[rule] >= self.asked[rule] for rule in rules):
                self.told.add(name)
                yield name

    def ticks(self, lines: Iterable[str], say: Callable[[str], object]) -> Iterator[int]:
        """Yield once for each second of the plan that is done, and the rest at the end; lines may be empty.

        say is given a line when a step ends.
        """
        given, began = 0, time.time()
        for line in lines:
            self.read(line)
            for name in self.ended():
                say(f"{name}: done after {clock(time.time() - began)}")
            while given < self.now():
                given += 1
                yield given
        yield from range(given + 1, self.total + 1)


def clock(seconds: float) -> str:
    """`4:07`, minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
