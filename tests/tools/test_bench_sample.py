# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.bench_sample."""

import json
import sys

import numpy as np
import pytest
import tiny_compile

from ramjax.models import presets
from ramjax.tools import (
  bench,
  bench_cases,
  bench_hf_sample,
  bench_ledger,
  bench_sample,
  bench_sample_floor,
  bench_sample_queue,
)
from ramjax.tools.bench_calls import Peaks

_CASE = {
  "counts": {"supervised": 100, "places": 400},
  "step_s": [0.1, 0.1],
  "peak_bytes": 30_000_000,
  "import_bytes": 10_000_000,
  "device_peak_bytes": 0,
  "compile_s": 3.0,
}
_REPORT = {"speed": {"value": 3.0}, "growth": 1.25}


def test_rates_are_of_useful_tokens_and_beside_their_ceiling():
  again = dict(_CASE, step_s=[0.3], device_peak_bytes=5, compile_s=None)
  found = bench_sample.summarise([_CASE, again], ceiling=1600.0)
  assert found["supervised_tokens_per_s"] == pytest.approx(200 / 0.5)
  assert found["ceiling_tokens_per_s"] == 1600
  assert found["share_of_ceiling"] == pytest.approx(0.25)
  assert found["useful_share"] == 0.25 and found["passes"] == 3
  assert found["peak_above_imports_bytes"] == 20_000_000
  assert found["device_peak_bytes"] == 5 and found["compile_s"] == 3


def _peaks(device, **rates):
  rates = dict(flops_per_s=1e9, bytes_per_s=1e9) | rates
  measured = dict(dtype="bfloat16", best=1.0, copy_bytes_per_s=1.0)
  return Peaks(device, "a GPU", source="measured", measured=measured, **rates)


def test_a_token_takes_as_long_as_its_bytes_or_its_arithmetic(tmp_path):
  model = presets.llama_config("tiny", dtype="bfloat16")
  bench_sample_queue.save(
    tmp_path / "queue.npz", num=6, vocab_size=1024, even=True
  )
  spec = dict(folder=str(tmp_path), queue="queue.npz", batch=3)
  flops, num_bytes = bench_sample_floor.work(
    model, np.full(6, 32), np.full(6, 32), rows=3, itemsize=2
  )
  slow_memory = bench_sample.token_floor_s(
    model, spec, _peaks("gpu", flops_per_s=1e15)
  )
  assert slow_memory == pytest.approx(num_bytes / 1e9 / (6 * 32))
  slow_matmul = bench_sample.token_floor_s(
    model, spec, _peaks("gpu", bytes_per_s=1e15)
  )
  assert slow_matmul == pytest.approx(flops / 1e9 / (6 * 32))


def test_what_keeps_to_the_limits_does_not_fail():
  assert bench_sample.failures(_REPORT) == []
  assert bench_sample.failures({**_REPORT, "speed": None}) == []
  assert bench_sample.failures({**_REPORT, "growth": None}) == []


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(speed={"value": 2.99}), "2.99 times the peer's tokens/s, under 3.00"),
    (dict(growth=1.26), "costs 1.26 times that of the cheapest, over 1.25"),
  ],
)
def test_what_does_not_fails_with_its_figure(changes, message):
  (failure,) = bench_sample.failures({**_REPORT, **changes})
  assert message in failure


def test_two_different_models_are_not_compared():
  ours, theirs = {"greedy": [[1, 2], [3, 4]]}, {"greedy": [[1, 2], [3, 5]]}
  bench_sample.require_same_tokens({"ours": [ours], "transformers": [ours]})
  with pytest.raises(ValueError, match="1 of 2 greedy answers"):
    bench_sample.require_same_tokens({"ours": [ours], "transformers": [theirs]})


@pytest.fixture
def no_measuring(monkeypatch):
  """Fails the test if any case is run."""

  def run_case(case, folder):
    raise AssertionError(f"{case.name} was run")

  monkeypatch.setattr(bench_cases, "run_case", run_case)


@pytest.fixture
def on_a_gpu(monkeypatch):
  """Stands in for cases on a GPU of 4 TB/s; `ran` has their specs."""
  ran = []

  def run_case(case, folder):
    ran.append(case.spec)
    if case.spec["kind"] == "peaks":
      return _peaks("gpu", flops_per_s=1e15, bytes_per_s=4e12)._asdict()
    return dict(_CASE, device_peak_bytes=7, versions={"jax": "2"})

  monkeypatch.setattr(bench_cases, "run_case", run_case)
  return ran


def test_a_gpu_computes_in_bfloat16_beside_its_own_ceiling(on_a_gpu, tmp_path):
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"
  argv = ["sample", "--size=tiny", f"--json={out}", f"--ledger={ledger}"]
  assert bench.main(argv) == 0
  _, *others = on_a_gpu
  assert {spec["model"]["dtype"] for spec in others} == {"bfloat16"}
  report = json.loads(out.read_text())
  assert (report["device"], report["device_name"]) == ("gpu", "a GPU")
  assert report["peaks"]["bytes_per_s"] == 4e12
  assert "Bytes = h (S (P + D V) + 2 L K H q)" in report["formula"]
  assert report["cases"]["ours"]["device_peak_bytes"] == 7
  (entry,) = bench_ledger.read(ledger)
  ours = entry["figures"]["ours"]
  assert ours["value"] == pytest.approx(100 / 0.2)
  assert ours["floor"] == report["cases"]["ours"]["ceiling_tokens_per_s"]
  # 0.9M weights of 2 bytes for 32 tokens a step: some 14 ns each.
  assert 1e7 < ours["floor"] < 1 / 14e-9
  assert {0 < q["floor_s"] < 1e-6 for q in report["queues"].values()} == {True}


def test_a_queue_that_takes_too_long_is_left_out(
  on_a_gpu, monkeypatch, tmp_path, capsys
):
  # By the stand-in a pass takes 0.1 s, whatever the queue: 0.4 s for 64 prompts
  # by what 16 took, and as much for 256 by what 64 took.
  monkeypatch.setattr(bench_sample, "_QUEUES", (16, 64, 256, 4096))
  out = tmp_path / "out.json"
  assert bench.main(["sample", "--seconds=0.3", f"--json={out}"]) == 0
  assert list(json.loads(out.read_text())["queues"]) == ["16", "64", "256"]
  printed = capsys.readouterr().err
  left_out = (
    "a queue of 4,096 is left out: a pass would take some 2 s, over 0.6"
  )
  assert left_out in printed
  *_, last = on_a_gpu
  assert (last["queue"], last["batch"], last["warm"]) == (
    "even_256.npz",
    16,
    32,
  )


@pytest.mark.parametrize(("size", "billions"), [("1b", 1.24), ("8b", 8.03)])
def test_released_shapes_are_sampled_from_on_a_gpu(
  on_a_gpu, size, billions, capsys
):
  assert bench.main(["sample", f"--size={size}"]) == 0
  assert f"model: {size}, {int(billions)}," in capsys.readouterr().out
  _, *others = on_a_gpu
  # Children rebuild the model from JSON.
  for spec in json.loads(json.dumps(others)):
    shape = presets.llama_config(**spec["model"])
    assert shape.num_parameters == pytest.approx(billions * 1e9, rel=5e-3)
    assert shape.dtype == "bfloat16" and shape.rope_scaling is not None


def test_released_shapes_are_refused_on_a_cpu(monkeypatch, capsys):
  monkeypatch.setattr(bench_sample, "_find_peaks", lambda *_: _peaks("cpu"))
  assert bench.main(["sample", "--size=1b"]) == 1
  assert "--size=1b is for a GPU or TPU" in capsys.readouterr().err


def test_the_peer_on_a_gpu_is_refused_before_anything_is_sampled(
  on_a_gpu, monkeypatch, capsys
):
  monkeypatch.setattr(bench_hf_sample, "require", lambda: None)
  assert bench.main(["sample", "--against=hf"]) == 1
  printed = capsys.readouterr().err
  assert "--against=hf is for the CPU, in float32, and JAX runs on a gpu" in (
    printed
  )
  assert "set JAX_PLATFORMS=cpu" in printed
  assert [spec["kind"] for spec in on_a_gpu] == ["peaks"]


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_missing_peer_is_said_before_anything_is_measured(
  monkeypatch, capsys, no_measuring, missing
):
  monkeypatch.setitem(sys.modules, missing, None)  # Import would fail.
  monkeypatch.setattr(
    "importlib.util.find_spec", lambda name: None if name == missing else 1
  )
  assert bench.main(["sample", "--against=hf"]) == 1
  printed = capsys.readouterr().err
  assert f"--against=hf needs {missing}, which" in printed
  assert "pip install 'ramjax[peers]'" in printed


def test_json_in_no_folder_is_refused_before_anything_is_measured(
  tmp_path, capsys, no_measuring
):
  out = tmp_path / "none" / "out.json"
  assert bench.main(["sample", f"--json={out}"]) == 1
  assert f"the folder {out.parent} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--seconds=nan", "'nan' is no number above 0"),
    ("--batch=0", "'0' is no whole number above 0"),
    ("--prompts=-3", "'-3' is no whole number above 0"),
    ("--against=vllm", "invalid choice: 'vllm'"),
    ("--size=70b", "invalid choice: '70b'"),
  ],
)
def test_wrong_arguments_exit_with_2(argument, message, capsys):
  with pytest.raises(SystemExit) as exit_:
    bench.main(["sample", argument])
  assert exit_.value.code == 2
  assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.peers
def test_both_sides_answer_the_same_queue(tmp_path, monkeypatch, capsys):
  for package in ("torch", "transformers"):
    pytest.importorskip(package)
  # Speed is no matter of this test.
  monkeypatch.setenv("XLA_FLAGS", tiny_compile.quick())
  monkeypatch.setattr(bench_sample, "MIN_SPEED", 0.0)
  monkeypatch.setattr(bench_sample, "MAX_GROWTH", 100.0)
  monkeypatch.setattr(bench_sample, "_PATIENCE", 1e6)
  monkeypatch.setattr(bench_sample, "_QUEUES", (4, 8))
  out = tmp_path / "out.json"
  argv = ["--size=tiny", "--prompts=12", "--batch=4", "--seconds=0.1"]
  argv = ["sample", *argv, "--against=hf", f"--json={out}"]
  assert bench.main(argv) == 0
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", *argv]
  ours, theirs = report["cases"]["ours"], report["cases"]["transformers"]
  assert len(ours["rounds"]) == len(theirs["rounds"]) == 2
  assert ours["useful_share"] == 1 > theirs["useful_share"] > 0.1
  tokens = [r["rounds"][0]["counts"]["supervised"] for r in (ours, theirs)]
  passes = [len(r["rounds"][0]["step_s"]) for r in (ours, theirs)]
  assert tokens[0] / passes[0] == tokens[1] / passes[1]
  assert list(report["queues"]) == ["4", "8"]
  assert report["peaks"]["source"] == "measured"
  assert ours["ceiling_tokens_per_s"] == theirs["ceiling_tokens_per_s"] > 0
  assert report["model"]["dtype"] == "float32"
  assert "ours / transformers" in capsys.readouterr().out
