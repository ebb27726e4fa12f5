# SPDX-License-Identifier: Apache-2.0
"""What the reader of `ramjax bench sample` is told."""

import copy

from ramjax.tools import bench_sample_lines, bench_table

_CASE = {
  "passes": 2,
  "pass_s_median": 0.1,
  "supervised_tokens_per_s": 500.0,
  "ceiling_tokens_per_s": 1250.0,
  "share_of_ceiling": 0.4,
  "useful_share": 1.0,
  "compile_s": 3.0,
  "peak_above_imports_bytes": 20_000_000,
  "device_peak_bytes": 0,
}
_REPORT = {
  "machine": {"cpu": "a CPU", "usable_cores": 2, "load": 0.1},
  "device_name": "a CPU, 2 cores",
  "versions": {"ramjax": "1", "jax": "2"},
  "peaks": {
    "source": "measured",
    "flops_per_s": 100e9,
    "bytes_per_s": 10e9,
    "measured": {"dtype": "float32", "best": 100e9, "copy_bytes_per_s": 10e9},
  },
  "formula": "as it is computed",
  "size": "small",
  "model": {"dtype": "float32"},
  "parameters": 8_000_000,
  "prompts": 128,
  "batch": 32,
  "prompt_tokens": (8, 128),
  "answer_tokens": (16, 256),
  "cases": {
    "ours": _CASE,
    "transformers": dict(
      _CASE,
      passes=1,
      pass_s_median=0.5,
      supervised_tokens_per_s=200.0,
      share_of_ceiling=0.16,
      useful_share=0.25,
      compile_s=None,
    ),
  },
  "speed": {"value": 3.0, "rounds": [3.1, 2.9]},
  "queues": {
    "16": {"cost_s": 1e-3, "floor_s": 8e-5},
    "1024": {"cost_s": 1.25e-3, "floor_s": 8e-5},
  },
  "growth": 1.25,
  "limits": {"speed": 3.0, "growth": 1.25},
  "failures": [],
}


def _text(report):
  return " ".join("\n".join(bench_sample_lines.lines(report)).split())


def test_figures_are_printed_beside_what_is_wanted():
  text = _text(_REPORT)
  assert "ours / transformers: 3.00, at least 3.00 wanted" in text
  assert "16 rows and every prompt and answer of 32 tokens" in text
  assert "in the longest queue, of 1,024, 1.25 times that of the" in text
  assert "cheapest, at most 1.25 wanted" in text
  alone = dict(_REPORT, growth=None)
  assert "of 1,024, not measured, at most 1.25 wanted" in _text(alone)
  assert "as it is computed" in text and "WARNING" not in text


def test_figures_are_printed_beside_what_the_machine_allows():
  text = _text(_REPORT)
  assert "peaks, measured: 100 GFLOP/s in float32, 10.0 GB/s" in text
  # Tokens/s, ceiling, share, useful, passes, seconds, compilation, memory.
  assert "ours 500 1,250 40.0 100.0 2 0.10 3.0 20" in text
  assert "transformers 200 1,250 16.0 25.0 1 0.50 - 20" in text
  # Microseconds of a token, and the floor.
  assert "16 1,000 80.0" in text and "1,024 1,250 80.0" in text


def test_no_line_is_too_wide():
  wide = "\n".join(bench_sample_lines.lines(_REPORT)).splitlines()
  assert max(map(len, wide)) <= bench_table.WIDTH


def test_of_an_accelerator_its_own_memory_is_shown():
  report = copy.deepcopy(_REPORT)
  report["speed"] = None
  report["model"]["dtype"] = "bfloat16"
  report["cases"] = {"ours": dict(_CASE, device_peak_bytes=70_000_000)}
  text = _text(report)
  assert "8,000,000 parameters, bfloat16; 128 prompts" in text
  assert "device, MB ours 500 1,250 40.0 100.0 2 0.10 3.0 70" in text
  assert "transformers:" not in text


def test_a_busy_machine_and_a_failure_are_said():
  report = copy.deepcopy(_REPORT)
  report["machine"]["load"] = 1.5
  report["failures"] = ["too slow"]
  text = _text(report)
  assert "WARNING: the machine was busy" in text
  assert "FAILED: too slow." in text
