# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench logps`: the same gradients, in less memory."""

import json

import jax.numpy as jnp
import pytest
from tiny_bench import PEAKS

from ramjax.tools import (
  bench,
  bench_calls,
  bench_ledger,
  bench_logps,
  bench_logps_memory,
  bench_table,
)
from ramjax.tools.bench_logps import Size

_SIZE = Size(tokens=32, width=8, vocab_size=256, chunk_size=8)


def _measure():
  return bench_logps.measure_size(_SIZE, steps=1, seconds=1, peaks=PEAKS)


def test_work_is_that_of_the_supervised_tokens_and_of_each_array_once():
  size = Size(tokens=10, width=3, vocab_size=7, chunk_size=2)
  flops, num_bytes = bench_logps.work(size, supervised=4, itemsize=2)
  # Logits, and two products for the gradients, of 3 x 7 for 4 tokens.
  assert flops == 3 * 2 * 3 * 7 * 4
  # Hidden states and the matrix in float32, and their gradients.
  assert num_bytes == 2 * (10 * 3 * 2) + 2 * (3 * 7 * 4)


def test_chunks_have_the_gradients_of_full_logits_in_less_memory():
  figures = _measure()
  full = figures["full logits"]
  assert full["difference"] is None
  assert full["floor_bytes"] == 4 * 32 * 256
  assert full["temp_bytes"] >= full["floor_bytes"]
  for name in ("chunks", "chunks, half supervised"):
    assert figures[name]["difference"] < 1e-5
    assert figures[name]["floor_bytes"] == 4 * 8 * 256
    assert figures[name]["temp_bytes"] < full["temp_bytes"]
  half = figures["chunks, half supervised"]
  assert half["flops"] == figures["chunks"]["flops"] / 2


def test_other_gradients_are_seen(monkeypatch):
  losses = bench_logps_memory.losses

  def wrong(num_tokens, chunk_size):
    found = losses(num_tokens, chunk_size)
    return {**found, "logps": lambda *given: 2 * found["logps"](*given)}

  monkeypatch.setattr(bench_logps_memory, "losses", wrong)
  assert _measure()["chunks"]["difference"] == pytest.approx(1)


def test_chunks_are_of_the_size_that_is_asked_for():
  whole = bench_logps.measure_size(
    _SIZE._replace(chunk_size=32), steps=1, seconds=1, peaks=PEAKS
  )
  chunks = "chunks"
  assert whole[chunks]["temp_bytes"] > 2 * _measure()[chunks]["temp_bytes"]


def test_the_command_prints_writes_and_keeps(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(bench_calls, "find_peaks", lambda: PEAKS)
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"
  argv = ["--size=tiny", "--steps=2", f"--json={out}", f"--ledger={ledger}"]
  assert bench.main(["logps", *argv]) == 0
  shown = capsys.readouterr().out
  assert max(map(len, shown.splitlines())) <= bench_table.WIDTH
  assert "chunks over full logits:" in shown
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", "logps", *argv]
  for name in ("formula", "versions", "date", "code", "device", "peaks"):
    assert report[name], name
  assert all(f["steps"] == 2 for f in report["figures"].values())
  (entry,) = bench_ledger.read(ledger)
  memory = entry["figures"]["chunks, memory"]
  assert memory["unit"] == "MB"
  kept = report["figures"]["chunks"]
  assert memory["value"] == pytest.approx(kept["temp_bytes"] / 1e6)
  assert memory["floor"] == pytest.approx(kept["floor_bytes"] / 1e6)
  assert entry["figures"]["chunks"]["unit"] == "ms"


def test_full_logits_are_in_float32_whatever_the_hidden_states():
  full = bench_logps_memory.losses(4, 2)["full"]
  hidden = jnp.ones((4, 8), jnp.bfloat16)
  kernel = jnp.ones((8, 16)) * 1e-3
  targets, mask = jnp.zeros(4, jnp.int32), jnp.arange(4) < 3
  found = full(hidden, kernel, targets, mask)
  assert found.dtype == jnp.float32
  # A uniform distribution over 16, of 3 supervised tokens.
  assert float(found) == pytest.approx(-3 * 2.772589, rel=1e-5)


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--size=70b", "invalid choice: '70b'"),
    ("--seconds=0", "'0' is no number above 0"),
  ],
)
def test_wrong_arguments_exit_with_2(argument, message, capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["logps", argument])
  assert end.value.code == 2
  assert message in capsys.readouterr().err


def test_help_says_what_is_measured(capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["logps", "--help"])
  assert end.value.code == 0
  shown = capsys.readouterr().out
  assert "ramjax bench logps --json=logps.json --ledger" in shown
  for size in bench_logps.SIZES:
    assert f"\n  {size} " in shown
