# SPDX-License-Identifier: Apache-2.0
"""What starts a run on a pod: every file filled in, checked, and what it runs."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from tiny_launch import OPTIONS, TRAIN, argv, render

from ramjax.tools import launch, supervise, topologies

_FOLDER = pathlib.Path(launch.__file__).with_suffix("")


def _script(tmp_path, text):
  path = tmp_path / "launch.sh"
  path.write_text(text)
  return path


def _dry_run(tmp_path, text, *actions):
  """The words of each command that a script would run."""
  done = subprocess.run(
    ["bash", _script(tmp_path, text), *actions],
    # Nothing on the path but what prints: no command can really run.
    env={"PATH": "/usr/bin:/bin", "DRY_RUN": "1"},
    capture_output=True,
    text=True,
    check=True,
  )
  return [shlex.split(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("place", OPTIONS)
def test_every_placeholder_is_filled_in(place, capsys):
  assert not re.search(r"@[A-Z_]+@", render(capsys, place))


def test_every_file_of_the_folder_belongs_to_a_place():
  templates = {place.template for place in launch._PLACES.values()}
  assert {path.name for path in _FOLDER.iterdir()} == templates | {"README.md"}
  assert set(OPTIONS) == set(launch._PLACES)


@pytest.mark.parametrize("place", ["tpu_vm", "xpk", "slurm"])
def test_scripts_are_sound_shell(place, tmp_path, capsys):
  path = _script(tmp_path, render(capsys, place))
  checks = [["bash", "-n"]]
  if shutil.which("shellcheck"):
    checks.append(["shellcheck"])
  for check in checks:
    done = subprocess.run([*check, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sbatch_reads_its_options_from_the_top(capsys):
  text = render(capsys, "slurm")
  lines = text.splitlines()
  assert lines[0].startswith("#!")
  # SLURM reads as far as the first command.
  options = [line for line in lines if line.startswith("#SBATCH ")]
  assert lines[1 : 1 + len(options)] == options
  given = dict(line.removeprefix("#SBATCH --").split("=") for line in options
               if "=" in line)  # fmt: skip
  assert given == {
    "job-name": "sft8b",
    "nodes": "2",
    "ntasks-per-node": "8",
    "gpus-per-node": "8",
    "output": "sft8b-%j.log",
    "signal": "TERM@120",
  }


def test_slurm_prints_what_it_would_run(tmp_path, capsys):
  train, after = _dry_run(tmp_path, render(capsys, "slurm"))
  assert train == [
    *("srun", "--kill-on-bad-exit=0", "--label"),
    *("/venv/bin/python", *TRAIN[1:]),
  ]
  assert after == [
    *("#", "to", "continue:", "scontrol", "requeue", "JOB_ID"),
  ]


def test_xpk_prints_what_it_would_run(tmp_path, capsys):
  text = render(capsys, "xpk", "--slices=2")
  (command,) = _dry_run(tmp_path, text, "run")
  assert command[:-1] == [
    *("xpk", "workload", "create", "--cluster=c1", "--zone=us-east5-a"),
    *("--workload=sft8b", "--tpu-type=v5litepod-16", "--num-slices=2"),
    *("--docker-image=r.example/ramjax:v1", "--max-restarts=20"),
    "--restart-on-exit-codes=75,76,77",
    "--termination-grace-period-seconds=120",
  ]
  assert shlex.split(command[-1].removeprefix("--command=")) == TRAIN
  assert _dry_run(tmp_path, text, "stop") == [
    [
      *("xpk", "workload", "delete", "--cluster=c1", "--zone=us-east5-a"),
      "--workload=sft8b",
    ]
  ]


_QUEUED = ["gcloud", "compute", "tpus", "queued-resources"]


def test_tpu_vms_print_what_they_would_run(tmp_path, capsys):
  text = render(capsys, "tpu_vm")
  named = ["sft8b", "--zone=us-east5-a"]
  everywhere = [*_QUEUED, "ssh", *named, "--node=all", "--worker=all"]
  assert _dry_run(tmp_path, text, "create") == [
    [
      *(*_QUEUED, "create", *named, "--accelerator-type=v5p-128"),
      *("--runtime-version=v2-alpha-tpuv5", "--node-id=sft8b"),
    ]
  ]
  assert _dry_run(tmp_path, text, "wait") == [
    [*_QUEUED, "describe", *named, "--format=value(state.state)"]
  ]
  for action in ("setup", "run", "status", "stop"):
    (command,) = _dry_run(tmp_path, text, action)
    assert command[:-1] == everywhere
    inner = command[-1].removeprefix("--command=")
    subprocess.run(["sh", "-n", "-c", inner], check=True)
  assert inner == "kill -TERM $(cat ramjax-sft8b/pid)"
  assert _dry_run(tmp_path, text, "tail") == [
    [
      *(*_QUEUED, "ssh", *named, "--node=0", "--worker=0"),
      "--command=tail -n 50 -F ramjax-sft8b/log",
    ]
  ]
  assert _dry_run(tmp_path, text, "delete") == [
    [*_QUEUED, "delete", *named, "--force"]
  ]


def test_tpu_vms_of_several_slices_are_one_resource(tmp_path, capsys):
  text = render(capsys, "tpu_vm", "--slices=2", "--spot")
  (command,) = _dry_run(tmp_path, text, "create")
  assert command[-3:] == ["--node-count=2", "--node-prefix=sft8b", "--spot"]


def test_tpu_vms_start_the_run_under_a_supervisor(tmp_path, capsys):
  (command,) = _dry_run(tmp_path, render(capsys, "tpu_vm"), "run")
  words = shlex.split(command[-1].removeprefix("--command="))
  start = words.index("python")
  assert words[start : start + 5] == [
    *("python", "-m", "ramjax.tools.cli", "supervise", "--"),
  ]
  assert words[start + 5 : start + 5 + len(TRAIN)] == TRAIN


@pytest.mark.parametrize("place", ["tpu_vm", "xpk"])
def test_a_script_without_an_action_says_which_there_are(
  place, tmp_path, capsys
):
  path = _script(tmp_path, render(capsys, place))
  done = subprocess.run(["bash", path], capture_output=True, text=True)
  assert done.returncode == 2
  assert done.stdout == "" and " run | " in done.stderr


# Would end a quotation, or start a command of its own, where it is not quoted.
_HOSTILE = """/data/'; touch INJECTED; "$(touch INJECTED)" `touch INJECTED` #"""


_HOSTILE_FIELD = f"--config.run.wandb_project={_HOSTILE}$$(HOME)$"


@pytest.mark.parametrize("place", OPTIONS)
def test_no_value_becomes_a_command(place, tmp_path, capsys):
  text = render(capsys, place, _HOSTILE_FIELD, workdir=_HOSTILE)
  marked = f"--workdir={_HOSTILE}"
  if place == "gke":
    spec = yaml.safe_load(text)["spec"]["replicatedJobs"][0]["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    command = [_by_kubernetes(word) for word in container["command"]]
    assert command[-2:] == [_HOSTILE_FIELD, marked]
    return
  if place == "skypilot":
    script = yaml.safe_load(text)["run"]
    command = ["bash", "-c", script]
  else:
    command = ["bash", str(_script(tmp_path, text)), "run"]
  # Every program that the script may call tells its arguments.
  for name in ("python", "srun", "xpk", "gcloud"):
    stub = tmp_path / name
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
  done = subprocess.run(
    command,
    cwd=tmp_path,
    env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  out = done.stdout
  if place in ("tpu_vm", "xpk"):  # One more shell, on the other side.
    (remote,) = re.findall(r"^--command=(.*?)\Z", out.rstrip("\n"), re.S | re.M)
    far = subprocess.run(
      ["sh", "-c", _printed(remote) if place == "xpk" else remote],
      cwd=tmp_path,
      env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
      capture_output=True,
      text=True,
      check=True,
    )
    log = tmp_path / "ramjax-sft8b" / "log"
    out = far.stdout if place == "xpk" else _wait_for(log, marked)
  assert {marked, _HOSTILE_FIELD} <= set(out.splitlines())
  assert not list(tmp_path.rglob("INJECTED"))


def _printed(command):
  """xpk makes a command a part of that of a pod."""
  return _by_kubernetes(f"printf '%s\\n' {command}")


def _by_kubernetes(word):
  """A word of a pod's command, as its rules for $ have it."""
  return re.sub(
    r"\$(?:(\$)|\(([^)]*)\))",
    lambda found: found[1] or f"the variable {found[2]}",
    word,
  )


@pytest.mark.parametrize("place", ["tpu_vm", "skypilot"])
def test_what_pip_installs_stays_one_word(place, tmp_path, capsys):
  text = render(capsys, place, f"--install={_HOSTILE}")
  pip = tmp_path / "python3"
  pip.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
  pip.chmod(0o755)
  if place == "tpu_vm":
    (command,) = _dry_run(tmp_path, text, "setup")
    script = command[-1].removeprefix("--command=")
  else:
    script = yaml.safe_load(text)["setup"]
  done = subprocess.run(
    ["bash", "-c", script],
    cwd=tmp_path,
    env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
    capture_output=True,
    text=True,
    check=True,
  )
  assert _HOSTILE in done.stdout.splitlines()
  assert not list(tmp_path.rglob("INJECTED"))


def test_slurm_requeues_what_a_supervisor_starts_again(tmp_path, capsys):
  path = _script(tmp_path, render(capsys, "slurm"))
  each = (
    'srun() { return "$given"; }\n'
    'scontrol() { echo "$given"; }\n'
    'for given in {0..255}; do ( . "$1" ); done\n'
  )

  def requeued(count):
    done = subprocess.run(
      ["bash", "-c", each, "bash", path],
      env={"PATH": "/usr/bin:/bin", "SLURM_RESTART_COUNT": count},
      capture_output=True,
      text=True,
    )
    assert done.stderr == ""
    return [int(line) for line in done.stdout.split()]

  assert requeued("0") == [
    status for status in range(256) if supervise.is_worth_a_restart(status)
  ]
  # What was asked to stop may go on for ever, what fails may not.
  assert requeued("20") == [75]


def _wait_for(path, text):
  """What a background process has written, once it has written `text`."""
  for _ in range(500):
    if path.exists() and text in path.read_text():
      break
    subprocess.run(["sleep", "0.01"], check=True)
  return path.read_text()


@pytest.mark.parametrize(
  "place,more,message",
  [
    ("tpu_vm", ["--topology=h100x16"], "--on=tpu_vm is for TPUs"),
    ("slurm", ["--topology=v5p-128"], "--on=slurm is for GPUs"),
    ("gke", ["--topology=v5p-7"], "counts cores"),
    ("tpu_vm", ["--topology=tpu7x:2x2x1"], "use --on=gke"),
    ("skypilot", ["--topology=v5p-16", "--slices=2"], "makes one slice"),
    ("tpu_vm", ["--zone=us-east5-a; rm -rf ~"], "is not a zone"),
    ("tpu_vm", ["--zone="], "--on=tpu_vm needs --zone"),
    ("gke", ["--claim="], "--on=gke needs --claim (lower case letters, digits"),
    (
      "skypilot",
      ["--install=", "--bucket="],
      "needs --install (what pip installs) and --bucket (gs://NAME or s3://NAME)",
    ),
    ("gke", ["--image=a b"], "is not an image"),
    ("gke", ["--zone=us-east5-a"], "--zone is of no use with --on=gke"),
    ("slurm", ["--spot"], "--spot is of no use with --on=slurm"),
    ("skypilot", ["--bucket=runs"], "is not gs://NAME"),
    ("skypilot", ["--secret=HF_TOKEN=hf_x"], "is not the name of a variable"),
    ("skypilot", ["--install=-r x"], "is not what pip installs"),
    ("slurm", ["--name=Sft_8B"], "is not lower case letters"),
    ("slurm", ["--name=a\n#SBATCH --wrap=x"], "is not lower case letters"),
    ("slurm", ["--workdir=gs://runs/x"], "mount the bucket on every host"),
    ("slurm", ["--workdir=/a\nb"], "is not a folder"),
    ("gke", ["--workdir=/runs/x"], "would be lost with the machine"),
    ("gke", ["--workdir=/database"], "would be lost with the machine"),
    ("slurm", ["--config.run.steps=7"], "steps"),
    ("slurm", ["--config=no_such_config"], "does not exist"),
    ("slurm", ["--confg.run.total_steps=7"], "no option, nor a field"),
    ("slurm", ["--process-id=0"], "no option, nor a field"),
    ("slurm", ["stray"], "no option, nor a field"),
  ],
)
def test_a_value_that_does_not_fit_is_refused(place, more, message, capsys):
  assert launch.main(argv(place, *more)) == 1
  out, err = capsys.readouterr()
  assert out == "" and err.startswith("ramjax launch: ") and message in err


# An empty name would be `gcloud ... delete "" --force`.
@pytest.mark.parametrize("place", OPTIONS)
@pytest.mark.parametrize(
  "option,example",
  [
    ("--name", "lower case letters, digits and -"),
    ("--config", "a config file or its name"),
    ("--workdir", "a folder"),
    ("--topology", "such as v5p:4x4x4, v5p-128"),
  ],
)
def test_what_every_place_needs_may_not_be_empty(
  place, option, example, capsys
):
  assert launch.main(argv(place, f"{option}=")) == 1
  out, err = capsys.readouterr()
  assert out == "" and f"--on={place} needs {option} ({example}" in err


def test_a_config_of_ones_own_is_where_the_hosts_have_it(capsys):
  text = render(capsys, "slurm", "--config=/shared/mine.py")
  assert "--config=/shared/mine.py" in text


def test_slurm_takes_the_interpreter_that_submits_it(tmp_path, capsys):
  text = render(capsys, "slurm", "--python=")
  assert _dry_run(tmp_path, text)[0][3] == sys.executable


@pytest.mark.parametrize("place", ["slurm", "skypilot"])
def test_gpus_give_the_memory_that_a_plan_counts_on(place, capsys):
  (line,) = re.findall(
    r"^\s*export (XLA_PYTHON_CLIENT_MEM_FRACTION=.*)$",
    render(capsys, place),
    re.MULTILINE,
  )
  ask = f"{line}; echo ${{XLA_PYTHON_CLIENT_MEM_FRACTION}}"
  done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
  assert float(done.stdout) == topologies.GPU_POOL_SHARE


def test_the_readme_names_every_place(capsys):
  text = (_FOLDER / "README.md").read_text()
  for place in launch._PLACES:
    assert f"--on={place}" in text
  assert "{{" not in text
