# SPDX-License-Identifier: Apache-2.0
"""What GKE and SkyPilot are given is as their schemas have it, with the run in it."""

import subprocess
import sys
import time

import jsonschema
import pytest
import yaml
from tiny_launch import TRAIN, render

from ramjax.tools import launch, supervise

# Of what the API server would refuse or read otherwise: jobset.x-k8s.io and
# batch/v1, as far as this template goes.
_CONTAINER = {
  "type": "object",
  "required": ["name", "image", "command", "resources", "volumeMounts"],
  "additionalProperties": False,
  "properties": {
    "name": {"type": "string"},
    "image": {"type": "string"},
    "command": {"type": "array", "items": {"type": "string"}},
    "ports": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["containerPort"],
        "additionalProperties": False,
        "properties": {"containerPort": {"type": "integer"}},
      },
    },
    "resources": {
      "type": "object",
      "required": ["requests", "limits"],
      "additionalProperties": {
        "type": "object",
        "required": ["google.com/tpu"],
        "properties": {"google.com/tpu": {"enum": [1, 4, 8]}},
      },
    },
    "volumeMounts": {
      "type": "array",
      "items": {"type": "object", "required": ["name", "mountPath"]},
    },
  },
}
_POD = {
  "type": "object",
  "required": ["restartPolicy", "nodeSelector", "containers", "volumes"],
  "additionalProperties": False,
  "properties": {
    "restartPolicy": {"const": "Never"},
    "terminationGracePeriodSeconds": {"type": "integer"},
    "hostNetwork": {"type": "boolean"},
    "dnsPolicy": {"const": "ClusterFirstWithHostNet"},
    "nodeSelector": {
      "type": "object",
      "required": [
        "cloud.google.com/gke-tpu-accelerator",
        "cloud.google.com/gke-tpu-topology",
      ],
      "additionalProperties": {"type": "string"},
    },
    "tolerations": {
      "type": "array",
      "items": {"type": "object", "required": ["key", "operator"]},
    },
    "containers": {"type": "array", "minItems": 1, "items": _CONTAINER},
    "volumes": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["name", "persistentVolumeClaim"],
      },
    },
  },
}
# Allowed with restartPolicy Never alone.
_POD_FAILURES = {
  "type": "object",
  "required": ["rules"],
  "additionalProperties": False,
  "properties": {
    "rules": {
      "type": "array",
      "maxItems": 20,
      "items": {
        "type": "object",
        "required": ["action", "onExitCodes"],
        "additionalProperties": False,
        "properties": {
          "action": {"enum": ["FailJob", "Ignore", "Count"]},
          "onExitCodes": {
            "type": "object",
            "required": ["operator", "values"],
            "additionalProperties": False,
            "properties": {
              "containerName": {"type": "string"},
              "operator": {"enum": ["In", "NotIn"]},
              "values": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": 255},
                "uniqueItems": True,
              },
            },
          },
        },
      },
    }
  },
}
_JOBSET = {
  "type": "object",
  "required": ["apiVersion", "kind", "metadata", "spec"],
  "additionalProperties": False,
  "properties": {
    "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
    "kind": {"const": "JobSet"},
    "metadata": {
      "type": "object",
      "required": ["name"],
      "properties": {"name": {"type": "string"}},
    },
    "spec": {
      "type": "object",
      "required": ["replicatedJobs"],
      "additionalProperties": False,
      "properties": {
        "failurePolicy": {
          "type": "object",
          "additionalProperties": False,
          "properties": {
            "maxRestarts": {"type": "integer", "minimum": 0},
            "rules": {
              "type": "array",
              "items": {
                "type": "object",
                "required": ["action", "onJobFailureReasons"],
                "additionalProperties": False,
                "properties": {
                  "action": {"const": "FailJobSet"},
                  "onJobFailureReasons": {"const": ["PodFailurePolicy"]},
                },
              },
            },
          },
        },
        "replicatedJobs": {
          "type": "array",
          "items": {
            "type": "object",
            "required": ["name", "template"],
            "properties": {
              "replicas": {"type": "integer", "minimum": 1},
              "template": {
                "type": "object",
                "required": ["spec"],
                "properties": {
                  "spec": {
                    "type": "object",
                    "required": ["parallelism", "completions", "template"],
                    "additionalProperties": False,
                    "properties": {
                      "podFailurePolicy": _POD_FAILURES,
                      "parallelism": {"type": "integer"},
                      "completions": {"type": "integer"},
                      "backoffLimit": {"const": 0},
                      "template": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {"spec": _POD},
                      },
                    },
                  }
                },
              },
            },
          },
        },
      },
    },
  },
}


def test_the_jobset_has_a_job_for_each_slice_and_a_pod_for_each_host(capsys):
  jobset = yaml.safe_load(render(capsys, "gke", "--slices=2", "--spot"))
  jsonschema.validate(jobset, _JOBSET)
  (job,) = jobset["spec"]["replicatedJobs"]
  assert job["replicas"] == 2
  # 128 cores are 64 chips, 4 to a host.
  spec = job["template"]["spec"]
  assert (spec["parallelism"], spec["completions"]) == (16, 16)
  pod = spec["template"]["spec"]
  assert pod["nodeSelector"] == {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
    "cloud.google.com/gke-tpu-topology": "4x4x4",
    "cloud.google.com/gke-spot": "true",
  }
  (container,) = pod["containers"]
  assert container["command"] == TRAIN
  assert container["resources"]["limits"] == {"google.com/tpu": 4}
  assert container["volumeMounts"][0]["mountPath"] == launch.MOUNT


def test_a_mistake_ends_the_jobset_and_all_else_starts_it_again(capsys):
  jobset = yaml.safe_load(render(capsys, "gke"))
  (job,) = jobset["spec"]["replicatedJobs"]
  spec = job["template"]["spec"]
  (container,) = spec["template"]["spec"]["containers"]
  (rule,) = spec["podFailurePolicy"]["rules"]
  assert rule["action"] == "FailJob"
  assert rule["onExitCodes"] == {
    "containerName": container["name"],
    "operator": "In",
    "values": [1, 2],
  }
  assert not any(map(supervise.is_worth_a_restart, [1, 2]))
  assert jobset["spec"]["failurePolicy"] == {
    "maxRestarts": 20,
    "rules": [
      {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    ],
  }


@pytest.mark.parametrize(
  "topology,label,chips,hosts",
  [
    ("v5e-1", "tpu-v5-lite-podslice", 1, 1),
    ("v6e-16", "tpu-v6e-slice", 4, 4),
    ("tpu7x:4x4x4", "tpu7x", 4, 16),
  ],
)
def test_pods_ask_for_the_chips_of_their_host(
  topology, label, chips, hosts, capsys
):
  text = render(capsys, "gke", f"--topology={topology}")
  jobset = yaml.safe_load(text)
  jsonschema.validate(jobset, _JOBSET)
  spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
  pod = spec["template"]["spec"]
  assert spec["parallelism"] == hosts
  assert label in pod["nodeSelector"].values()
  assert pod["containers"][0]["resources"]["requests"] == {
    "google.com/tpu": chips
  }


# As SkyPilot's YAML specification has them.
_SKYPILOT = {
  "type": "object",
  "required": ["name", "num_nodes", "resources", "setup", "run"],
  "additionalProperties": False,
  "properties": {
    "name": {"type": "string"},
    "num_nodes": {"type": "integer", "minimum": 1},
    "resources": {
      "type": "object",
      "required": ["accelerators"],
      "additionalProperties": False,
      "properties": {
        "accelerators": {"type": "string"},
        "accelerator_args": {"type": "object"},
        "use_spot": {"type": "boolean"},
      },
    },
    "secrets": {"type": "object", "additionalProperties": {"type": "null"}},
    "file_mounts": {
      "type": "object",
      "additionalProperties": {
        "type": "object",
        "required": ["source", "mode"],
        "properties": {"mode": {"const": "MOUNT"}},
      },
    },
    "setup": {"type": "string"},
    "run": {"type": "string"},
  },
}


def test_skypilot_starts_a_process_for_each_node_with_its_number(
  tmp_path, capsys
):
  task = yaml.safe_load(render(capsys, "skypilot"))
  jsonschema.validate(task, _SKYPILOT)
  assert task["num_nodes"] == 2
  assert task["resources"] == {"accelerators": "H100:8", "use_spot": False}
  python = tmp_path / "python"
  python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
  python.chmod(0o755)
  done = subprocess.run(
    ["bash", "-c", task["run"]],
    env={
      "HOME": "/nowhere",
      "PATH": f"{tmp_path}:/usr/bin:/bin",
      "SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.8",
      "SKYPILOT_NUM_NODES": "2",
      "SKYPILOT_NODE_RANK": "1",
    },
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.splitlines() == [
    *("-m", "ramjax.tools.cli", "supervise", "--"),
    *TRAIN,
    "--coordinator=10.0.0.7:8476",
    *("--num-processes=2", "--process-id=1"),
  ]


# In place of the Python of the environment: the supervisor is the real one, and
# the run a few lines of shell, whose starts are counted.
_PYTHON = """\
#!/bin/sh
case "$*" in *"supervise -- "*) exec {python} "$@" ;; esac
trap 'kill $!; exit 75' TERM
echo >> {starts}
# Progress, without which the next start would wait.
start=$(wc -l < {starts})
mkdir -p {workdir}/checkpoints/"$start"
{run}
"""


@pytest.fixture
def skypilot(tmp_path, capsys):
  """Starts `run` as SkyPilot does on a machine, with a stand-in for training."""
  workdir, starts = tmp_path / "run", tmp_path / "starts"
  text = render(capsys, "skypilot", workdir="/data/run")
  script = tmp_path / "script"
  script.write_text(
    yaml.safe_load(text)["run"].replace("/data/run", str(workdir))
  )
  python = tmp_path / "ramjax-venv/bin/python"
  python.parent.mkdir(parents=True)

  def start(run):
    python.write_text(
      _PYTHON.format(
        python=sys.executable, starts=starts, workdir=workdir, run=run
      )
    )
    python.chmod(0o755)
    # An interactive shell, in a session of its own.
    return subprocess.Popen(
      ["bash", "-i", script],
      env={
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "SKYPILOT_NODE_IPS": "10.0.0.7",
        "SKYPILOT_NUM_NODES": "1",
        "SKYPILOT_NODE_RANK": "0",
      },
      stdin=subprocess.DEVNULL,
      start_new_session=True,
    )

  start.starts = starts
  return start


def _starts(skypilot):
  path = skypilot.starts
  return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit 75", "exit 76", "exit 77", "kill -9 $$"])
def test_skypilot_starts_a_run_again_as_a_supervisor_does(skypilot, end):
  process = skypilot(f'[ "$start" -eq 1 ] || exit 0; {end}')
  assert (process.wait(timeout=300), _starts(skypilot)) == (0, 2)


@pytest.mark.slow
def test_a_mistake_ends_skypilots_job_with_its_status(skypilot):
  assert (skypilot("exit 1").wait(timeout=300), _starts(skypilot)) == (1, 1)


@pytest.mark.slow
def test_sigterm_to_what_skypilot_started_reaches_the_run(skypilot):
  process = skypilot("sleep 600 & wait")
  while not _starts(skypilot):
    assert process.poll() is None
    time.sleep(0.01)
  process.terminate()
  # It saved a checkpoint, and nothing was started after it.
  assert (process.wait(timeout=300), _starts(skypilot)) == (75, 1)


def test_skypilot_leaves_tpu_hosts_to_their_own_metadata(capsys):
  text = render(capsys, "skypilot", "--topology=v5p-16", "--spot")
  task = yaml.safe_load(text)
  jsonschema.validate(task, _SKYPILOT)
  assert (task["num_nodes"], "--coordinator" in task["run"]) == (1, False)
  assert "exec python -m ramjax.tools.cli supervise -- python" in task["run"]
  assert task["resources"] == {
    "accelerators": "tpu-v5p-16:1",
    "accelerator_args": {"runtime_version": "v2-alpha-tpuv5"},
    "use_spot": True,
  }


def test_secrets_go_by_name_and_never_by_value(capsys, monkeypatch):
  monkeypatch.setenv("HF_TOKEN", "planted-value")
  text = render(
    capsys, "skypilot", "--secret=HF_TOKEN", "--secret=WANDB_API_KEY"
  )
  task = yaml.safe_load(text)
  assert task["secrets"] == {"HF_TOKEN": None, "WANDB_API_KEY": None}
  assert "envs" not in task and "planted-value" not in text


@pytest.mark.parametrize("place", ["gke", "skypilot"])
def test_a_name_that_yaml_takes_for_a_truth_value_stays_a_name(place, capsys):
  read = yaml.safe_load(render(capsys, place, name="no"))
  assert read.get("metadata", read)["name"] == "no"
