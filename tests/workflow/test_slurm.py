"""The workflow through a real SLURM of one node, made for the test: the same bytes as on local cores.

Needs Debian's slurm-wlm and munge, and root, whom the daemons let run jobs without further users. `make test-slurm`
runs it.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from trees import ROOT, UNTIMED, Tree, digests, smoke

DAEMONS = ("munged", "slurmctld", "slurmd")
PROFILE = ROOT / "profiles/slurm"
#: What differs on the cluster of the test: it has no accounting, and is asked more often than a shared one may be.
HERE = (
    *("--workflow-profile", "none", "--profile", str(PROFILE)),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1", "--default-resources", "slurm_partition=main", "slurm_account=none"),
    *("mem_mb=200", "runtime=10", "--jobs", "40", "--max-threads", "2", "--latency-wait", "5"),
)
CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmdSpoolDir={directory}/spool
StateSaveLocation={directory}/state
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=100000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(os.geteuid() != 0, reason="the daemons of the test need root"),
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in DAEMONS), reason="needs Debian's packages slurm-wlm and munge"
    ),
]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment in which SLURM's commands speak to the cluster of the test."""
    directory = tmp_path_factory.mktemp("slurm")
    for name in ("spool", "state"):
        (directory / name).mkdir()
    host = socket.gethostname().split(".")[0]
    configuration = directory / "slurm.conf"
    ports = {"controller_port": free_port(), "node_port": free_port()}
    configuration.write_text(CONFIGURATION.format(directory=directory, host=host, user=getpass.getuser(), **ports))
    # The executor's jobs call srun without SLURM's own variables, so where the cluster is must come from elsewhere.
    srun = directory / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = f"{directory}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": path}
    key = directory / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munge = ["munged", "--foreground", "--force", "--key-file", str(key), "--socket", f"{directory}/munge.socket"]
    munge += ["--pid-file", f"{directory}/munge.pid", "--log-file", f"{directory}/munge.log"]
    munge += ["--seed-file", f"{directory}/munge.seed"]
    commands = [munge, ["slurmctld", "-D"], ["slurmd", "-D"]]
    with (directory / "daemons.log").open("wb") as log:
        running = []
        try:
            for command in commands:
                running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
                time.sleep(0.5)
            wait_for_node(environment, directory)
            yield {name: environment[name] for name in ("SLURM_CONF", "PATH")}
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def wait_for_node(environment: dict[str, str], directory: Path) -> None:
    """Wait until the node takes jobs. Fails with the daemons' words after half a minute."""
    for _ in range(60):
        states = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if states.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace") for path in sorted(directory.glob("*.log")))
    pytest.fail(f"no idle node: {states.stdout}{states.stderr}\n{logs}")


def test_profile_names_rules_of_the_workflow() -> None:
    """Resources set for a rule that is gone would be ignored in silence."""
    rules = subprocess.run(
        [sys.executable, "-m", "snakemake", "--list-rules"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(yaml.safe_load((PROFILE / "config.yaml").read_text())["set-resources"]) <= set(rules)


@pytest.mark.timeout(300)
def test_tiny_pipeline_through_slurm(origin: Tree, slurm: dict[str, str], tmp_path: Path) -> None:
    """Jobs of SLURM parse the Snakefile anew: dvc.lock must be written once, by the run itself."""
    tree = origin.copy(tmp_path / "tree")
    tree.set("prepare", "rows", 120)
    local = tree.copy(tmp_path / "local")
    local.run("snakemake")
    assert len(tree.ran("snakemake", *HERE, **slurm)) == 6
    pipeline = tree.path / "dvc.yaml"
    assert digests(tree.path, pipeline) == digests(local.path, pipeline)
    assert tree.lock() == local.lock()
    assert tree.ran("snakemake") == tree.ran("dvc", "repro") == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_smoke_scale_through_slurm(slurm: dict[str, str], tmp_path: Path) -> None:
    """The tempotron: inputs that are fetched, a grid of jobs, and what draws them together."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(UNTIMED)
    targets = ("--", "tempotron")
    assert smoke(tmp_path / "local", overlay, *targets).wait() == 0
    assert smoke(tmp_path / "cluster", overlay, *HERE, *targets, **slurm).wait() == 0
    local = digests(tmp_path / "local")
    assert len(local) > 20
    assert digests(tmp_path / "cluster") == local
