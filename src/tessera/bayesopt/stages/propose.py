"""Propose one trial of a study from the results up to `lag` before it, and from the points of those between."""

from pathlib import Path

from tessera.bayesopt.params import ProposalParams
from tessera.common import files, stage


def main(params: ProposalParams, trial: int, proposals: list[Path], results: list[Path], proposal: Path) -> None:
    """Write the trial as JSON. proposals are of all trials before it, results of those whose outcome it may know."""
    from tessera.bayesopt.space import Space
    from tessera.bayesopt.trial import Trial, proposed

    if trial == 0 and params.baseline is not None:
        files.write_json(proposal, Trial(id=0, params=dict(params.baseline), kind="baseline").to_json())
        return
    before = [Trial.from_json(files.read_json(path), str(path)) for path in proposals]
    seen = [Trial.from_json(files.read_json(path), str(path)) for path in results]
    known = {item.id for item in seen}
    pending = [item for item in before if item.id not in known]
    next_trial = proposed(Space(params.space), params.settings(), params.seed, trial, seen, pending)
    files.write_json(proposal, next_trial.to_json())


if __name__ == "__main__":
    stage.run(main)
