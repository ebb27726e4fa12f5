# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench attention`: which backends, and whether they agree."""

import json

import jax
import jax.numpy as jnp
import pytest
from tiny_bench import PEAKS

from ramjax.models import attention
from ramjax.tools import (
  bench,
  bench_attention,
  bench_calls,
  bench_ledger,
  bench_table,
)
from ramjax.tools.bench_attention_shapes import Shape

_PACKED = Shape(1, 16, 2, 1, 8, packed=True)


@pytest.fixture
def no_peaks(monkeypatch):
  """Measures no matmul: those of a real one take a second."""
  monkeypatch.setattr(bench_calls, "find_peaks", lambda: PEAKS)


def test_the_backends_of_a_device_are_measured_with_xla_first():
  assert bench_attention.usable("", "cpu") == ["xla"]
  assert bench_attention.usable("", "tpu") == ["xla", "splash"]
  assert bench_attention.usable("", "gpu") == ["xla", "cudnn"]
  assert bench_attention.usable("splash", "tpu") == ["xla", "splash"]
  assert bench_attention.usable("xla", "gpu") == ["xla"]


def test_a_backend_that_does_not_run_here_is_refused(capsys, monkeypatch):
  monkeypatch.setattr(
    bench_calls, "find_peaks", lambda: pytest.fail("measured")
  )
  assert bench.main(["attention", "--backend=splash"]) == 1
  assert "'splash' does not run on cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--backend=triton", "invalid choice: 'triton'"),
    ("--size=70b", "invalid choice: '70b'"),
    ("--steps=0", "'0' is no whole number above 0"),
  ],
)
def test_wrong_arguments_exit_with_2(argument, message, capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["attention", argument])
  assert end.value.code == 2
  assert message in capsys.readouterr().err


def _measure(monkeypatch, other, shape=_PACKED):
  """Figures of XLA and of a function that stands in for splash."""
  monkeypatch.setitem(attention.BACKENDS, "splash", other)
  return bench_attention.measure_shape(
    shape, ["xla", "splash"], steps=1, seconds=1, peaks=PEAKS
  )


def _plain(query, key, value, segment_ids, branch_ids, window):
  """Dense attention in one einsum."""
  del branch_ids, window
  group = query.shape[2] // key.shape[2]
  key, value = (jnp.repeat(x, group, axis=2) for x in (key, value))
  scores = jnp.einsum("BTNH,BSNH->BNTS", query, key) * query.shape[-1] ** -0.5
  seen = segment_ids[:, :, None] == segment_ids[:, None]
  seen &= jnp.tri(query.shape[1], dtype=bool)[None]
  weights = jax.nn.softmax(jnp.where(seen[:, None], scores, -1e30), axis=-1)
  return jnp.einsum("BNTS,BSNH->BTNH", weights, value)


def _leaking(query, key, value, segment_ids, branch_ids, window):
  """One that ignores the segments of packed rows."""
  one = jnp.ones_like(segment_ids)
  return _plain(query, key, value, one, branch_ids, window)


def _names(kind):
  return [f"{kind} {p} H=8 T=16 packed" for p in ("fwd", "fwd+bwd")]


def test_backends_that_compute_the_same_differ_by_rounding(monkeypatch):
  figures, failed = _measure(monkeypatch, _plain)
  assert not failed and set(figures) == {*_names("xla"), *_names("splash")}
  assert all(figures[name]["difference"] is None for name in _names("xla"))
  for name in _names("splash"):
    assert 0 <= figures[name]["difference"] < 1e-5


def test_a_backend_that_ignores_segments_is_seen(monkeypatch):
  packed, _ = _measure(monkeypatch, _leaking)
  assert min(packed[name]["difference"] for name in _names("splash")) > 0.1
  whole, _ = _measure(monkeypatch, _leaking, _PACKED._replace(packed=False))
  assert max(f["difference"] or 0 for f in whole.values()) < 1e-5


def test_wrong_gradients_are_seen(monkeypatch):
  @jax.custom_vjp
  def forward(query, key, value, segment_ids):
    return _plain(query, key, value, segment_ids, None, None)

  forward.defvjp(
    lambda *arrays: (forward(*arrays), arrays),
    lambda arrays, out: (*map(jnp.zeros_like, arrays[:3]), None),
  )
  figures, _ = _measure(monkeypatch, lambda *given: forward(*given[:4]))
  alone, both = (figures[name]["difference"] for name in _names("splash"))
  assert alone < 1e-5 and both > 0.1


def test_a_backend_that_refuses_is_told_and_the_others_are_measured(
  monkeypatch,
):
  def refuse(*_):
    raise ValueError("needs a Hopper GPU\nand more")

  figures, failed = _measure(monkeypatch, refuse)
  assert failed == {name: "needs a Hopper GPU" for name in _names("splash")}
  assert list(figures) == _names("xla")


def test_the_command_prints_writes_and_keeps(tmp_path, capsys, no_peaks):
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"
  argv = ["--size=tiny", "--steps=2", f"--json={out}", f"--ledger={ledger}"]
  assert bench.main(["attention", *argv]) == 0
  shown = capsys.readouterr().out
  assert max(map(len, shown.splitlines())) <= bench_table.WIDTH
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", "attention", *argv]
  for name in ("formula", "versions", "date", "code", "device", "peaks"):
    assert report[name], name
  assert "xla fwd+bwd H=8 T=32 packed" in shown
  assert len(report["figures"]) == 4 and not report["not_measured"]
  for figure in report["figures"].values():
    assert figure["steps"] == 2
    assert figure["step_s_p10"] <= figure["step_s_median"]
    ratio = figure["step_s_median"] / figure["floor_s"]
    assert figure["over_floor"] == pytest.approx(ratio)
  (entry,) = bench_ledger.read(ledger)
  assert (entry["target"], entry["size"]) == ("attention", "tiny")
  assert set(entry["figures"]) == set(report["figures"])
  assert entry["device"] == "a CPU"


def test_help_says_what_is_measured(capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["attention", "--help"])
  assert end.value.code == 0
  shown = capsys.readouterr().out
  assert "ramjax bench attention --backend=cudnn --ledger" in shown
  for size in bench_attention.SIZES:
    assert f"\n  {size} " in shown
