"""The first page of the report."""

from tessera.workflow import environment, front
from tessera.workflow.claims import Claim, Measured, Verdict


def claim(**more) -> Claim:
    return Claim(claim="A < B & C", source="derivation", file="one.json", key=("a",), **more)


def test_claims_with_failures_and_gaps() -> None:
    verdicts = [
        Verdict("one", "near", claim(expected=1.0, tolerance=0.1), Measured(1.05)),
        Verdict("one", "far", claim(at_most=1.0), Measured(2.0)),
        Verdict("two", "gone", claim(at_least=0.0), None),
    ]
    page = front.claims(verdicts)
    assert "3 claims: 1 pass, 1 fail, 1 missing" in page
    assert page.count("<tr>") == 4
    assert "<td>A &lt; B &amp; C</td>" in page
    for sign in front.SIGNS.values():
        assert page.count(f"<td>{sign}</td>") == 1


def test_hardware_names_the_machine_and_what_all_jobs_cost(tmp_path) -> None:
    for name, seconds, memory in (("a", 60, 100), ("b", 30, 300)):
        (tmp_path / f"{name}.tsv").write_text(f"s\tmax_rss\n{seconds}\t{memory}\n")
    machine = environment.describe()
    served = {"served": {"cpu": {"hardware": "A CPU", "software": "torch 2", "dtype": "float32"}}}
    page = front.hardware(machine, tmp_path, served)
    assert "2, 1.5 minutes together, at most 300 MiB each" in page
    assert f"{machine['processor']}, {machine['cores']} cores" in page
    assert "A CPU, torch 2, float32" in page
    assert "children" not in front.hardware(machine, tmp_path)


def test_environment(repository) -> None:
    found = environment.describe(repository / "requirements.lock")
    assert found["memory_gib"] > 0 and len(found["lock_sha256"]) == 64
    locked = dict(line.split("==") for line in (repository / "requirements.lock").read_text().lower().split())
    for name, version in found["packages"].items():
        assert version.split("+")[0] == locked[name], f"{name} is not the locked one"
