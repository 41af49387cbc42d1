"""What the documents say of shards is done as they say it: with GNU parallel, SLURM and AWS Batch as small stand-ins.

The stand-ins start what they are given with the variables that the real ones set. `bimors` is one as well: it writes
down how it was called, and this process does it, so that torch is imported once.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest
from typer.testing import CliRunner

from bimors_cli.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
SLURM, BATCH = ROOT / "examples" / "slurm", ROOT / "examples" / "aws-batch"
TEXT = (ROOT / "docs" / "cluster.md").read_text().partition("## Shards")[2]
BLOCKS = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", TEXT, flags=re.M | re.S)]

BIMORS = """
import json, sys
with open("calls", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
PARALLEL = """
import subprocess, sys
for line in sys.stdin:
    subprocess.run([word.replace("{}", line.strip()) for word in sys.argv[1:]], check=True)
"""
SBATCH = """
import os, subprocess, sys
given = [word for word in sys.argv[1:] if word.startswith("--")]
given = dict(word.partition("=")[::2] for word in given[: next(i for i, w in enumerate(sys.argv[1:]) if w[0] != "-")])
script, *words = sys.argv[1 + len(given):]
assert "--parsable" in given
if "--dependency" in given:
    assert given["--dependency"] == "afterok:42", given
env = dict(os.environ)
for pair in filter(None, given.get("--export", "").split(",")):
    if pair != "ALL":
        name, _, env[name] = pair.partition("=")
if "--array" in given:
    first, last = map(int, given["--array"].split("-"))
    for task in range(first, last + 1):
        more = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "99", "SLURM_CPUS_PER_TASK": "4"}
        subprocess.run(["bash", script, *words], check=True, env=env | more)
    print("42;cluster")
else:
    subprocess.run(["bash", script, *words], check=True, env=env)
    print("43;cluster")
"""
AWS = """
import json, os, subprocess, sys
words = sys.argv[1:]
assert words[:2] == ["batch", "submit-job"]
given = dict(zip(words[2::2], words[3::2], strict=True))
assert given["--query"] == "jobId" and given["--output"] == "text"
name = given["--job-definition"].removeprefix("bimors-")
definition = json.load(open(f"{os.environ['DEFINITIONS']}/{name}-job.json"))
assert definition["jobDefinitionName"] == given["--job-definition"]
values = definition["parameters"] | dict(pair.split("=") for pair in given["--parameters"].split(","))
command = [values[w[5:]] if w.startswith("Ref::") else w for w in definition["containerProperties"]["command"]]
env = os.environ | {pair["name"]: pair["value"] for pair in definition["containerProperties"].get("environment", [])}
if "--array-properties" in given:
    for index in range(int(given["--array-properties"].removeprefix("size="))):
        subprocess.run(command, check=True, env=env | {"AWS_BATCH_JOB_ARRAY_INDEX": str(index)})
    print("1-a")
else:
    assert given["--depends-on"] == "jobId=1-a"
    subprocess.run(command, check=True, env=env)
    print("2-b")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it, and stand-ins on the PATH."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    tools, work = tmp_path / "tools", tmp_path / "work"
    tools.mkdir()
    work.mkdir()
    for name, text in {"bimors": BIMORS, "parallel": PARALLEL, "sbatch": SBATCH, "aws": AWS}.items():
        (tools / name).write_text(f"#!{sys.executable}\n{text}")
        (tools / name).chmod(0o755)
    for name in ("scene.tif", "labels.txt"):
        shutil.copy(ROOT / "examples" / name, work)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{BATCH}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DEFINITIONS", str(BATCH))
    monkeypatch.chdir(work)
    return work


def shell(command: str) -> str:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def do(calls: list[list[str]]) -> None:
    """Do what was called, without captions, which take most of the time."""
    for words in calls:
        result = CliRunner().invoke(app, [*words, *(["--no-captions"] if words[0] == "classify" else [])])
        assert result.exit_code == 0, (words, result.stderr)


def called() -> list[list[str]]:
    calls = [json.loads(line) for line in Path("calls").read_text().splitlines()]
    Path("calls").unlink()
    return calls


def assert_merged(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"scene.tif", "labels.txt", "out.gpkg"}
    assert len(geopandas.read_file(folder / "out.gpkg", layer="tiles")) == 180
    (folder / "out.gpkg").unlink()


def test_by_hand_and_with_gnu_parallel(folder: Path) -> None:
    by_hand, parallel = (block for block in BLOCKS if block[-1].startswith("bimors merge"))
    for lines in (by_hand, parallel):
        for line in lines[:-1]:
            shell(line)
        shards = called()
        assert [words[words.index("--shard") + 1] for words in shards] == ["1/3", "2/3", "3/3"]
        do(shards)
        shell(lines[-1])
        assert len(list(folder.glob("*.bimors-journal"))) == 3
        do(called())
        assert_merged(folder)


def test_on_slurm(folder: Path) -> None:
    (line,) = (line for block in BLOCKS for line in block if line.startswith("./submit.sh"))
    (folder / "out.gpkg.1-of-3.bimors-journal").touch()  # of an earlier try: the merge must not be of this one alone
    said = shell(f"{SLURM}/{line.removeprefix('./')}")
    assert said == "shards: job 42, merge: job 43\n"
    (folder / "out.gpkg.1-of-3.bimors-journal").unlink()
    calls = called()
    assert [words[-3:] for words in calls[:-1]] == [["--shard", f"{k}/3", "--resume"] for k in (1, 2, 3)]
    do(calls)
    assert_merged(folder)


def test_some_tasks_of_slurm_once_more(folder: Path) -> None:
    """As the README has it: the number of shards is not that of the tasks."""
    (line,) = re.findall(r"sbatch (--array=\S+ --export=\S+) classify.sbatch (.*)", (SLURM / "README.md").read_text())
    given, words = line
    assert given == "--array=3,7 --export=ALL,SHARDS=16"
    env = "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=2 SHARDS=16"
    shell(f"{env} bash {SLURM / 'classify.sbatch'} {words}")
    assert called() == [["classify", *shlex.split(words), "--shard", "7/16", "--resume"]]


def test_on_aws_batch(folder: Path) -> None:
    words = f"QUEUE 3 {folder}/scene.tif {folder}/labels.txt {folder}/out.gpkg"
    assert shell(f"{BATCH}/submit.sh {words}") == "shards: job 1-a, merge: job 2-b\n"
    calls = called()
    assert [words[words.index("--shard") + 1] for words in calls[:-1]] == ["1/3", "2/3", "3/3"]
    do(calls)
    assert_merged(folder)


@pytest.mark.parametrize(
    ("script", "words"), [(SLURM, ""), (SLURM, "3 out.gpkg"), (BATCH, "QUEUE 3 a b"), (BATCH, "QUEUE 1 a b c")]
)
def test_wrong_words_are_told(folder: Path, script: Path, words: str) -> None:
    done = subprocess.run(["bash", "-c", f"{script}/submit.sh {words}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and not Path("calls").exists()


def test_scripts_may_be_run_and_definitions_agree() -> None:
    for script in (SLURM / "submit.sh", BATCH / "submit.sh", BATCH / "shard.sh"):
        assert script.stat().st_mode & stat.S_IXUSR
    for script in (*SLURM.glob("*.s*"), *BATCH.glob("*.sh")):
        subprocess.run(["bash", "-n", script], check=True)
    definitions = [json.loads((BATCH / f"{name}-job.json").read_text()) for name in ("shard", "merge")]
    for definition in definitions:
        named = {word[5:] for word in definition["containerProperties"]["command"] if word.startswith("Ref::")}
        assert named == set(definition["parameters"])
        assert set(definition) <= {
            "jobDefinitionName", "type", "platformCapabilities", "parameters", "containerProperties", "retryStrategy",
            "timeout",
        }  # fmt: skip
    assert definitions[0]["containerProperties"]["volumes"] == definitions[1]["containerProperties"]["volumes"]


def test_several_gpus(folder: Path) -> None:
    """Where they are not there, nothing is started."""
    import torch

    (line,) = (line for block in BLOCKS for line in block if "--device" in line)
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    if torch.cuda.device_count() >= 4:
        assert result.exit_code == 0
    else:
        assert result.exit_code == 2 and "CUDA devices" in result.stderr
        assert {path.name for path in folder.iterdir()} == {"scene.tif", "labels.txt"}


def test_options_and_links_of_the_pages_exist() -> None:
    help_text = "".join(CliRunner().invoke(app, [name, "--help"]).stdout for name in ("classify", "merge", "caption"))
    pages = {page: page.read_text() for page in (SLURM / "README.md", BATCH / "README.md")}
    for text in (TEXT.partition("\n## Ray")[0], *pages.values()):
        named = set(re.findall(r"`(--[a-z][a-z-]+)", text)) - {"--sshlogin", "--requeue"}
        assert all(option in help_text for option in named), named
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
