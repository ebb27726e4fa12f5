# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.bench and bench_table."""

import json
import sys

import pytest
import tiny_compile

from ramjax.tools import bench, bench_cases, bench_table


@pytest.fixture
def no_measuring(monkeypatch):
  """Fails the test if any case is run."""

  def run_case(case, folder):
    raise AssertionError(f"{case.name} was run")

  monkeypatch.setattr(bench_cases, "run_case", run_case)


def _summary(**fields):
  """Figures as wide as they come, on one core or on a large machine."""
  return {
    "tokens_per_step": 123_456.0,
    "step_s_p10": 12.3456,
    "step_s_median": 0.05678,
    "step_s_p90": 0.0012345,
    "tokens_per_s": 1_234_567.0,
    "supervised_tokens_per_s": 123_456.0,
    "padding_share": 0.9876,
    "flops_per_s": 123.4e12,
    "mfu": 0.456,
    "compile_s": 123.4,
    "peak_above_imports_bytes": 98_765e6,
    "peak_bytes": 99_999e6,
    "device_peak_bytes": 0,
    **fields,
  }


@pytest.mark.parametrize("missing", ["trl", "torch", "transformers"])
def test_missing_peer_is_said_before_anything_is_measured(
  monkeypatch, capsys, no_measuring, missing
):
  monkeypatch.setitem(sys.modules, missing, None)  # Import would fail.
  assert bench.main(["sft", "--against=trl"]) == 1
  printed = capsys.readouterr()
  assert printed.err.startswith("ramjax bench: --against=trl needs ")
  assert missing in printed.err
  assert "pip install 'ramjax[peers]'" in printed.err
  assert printed.out == ""


def test_json_in_no_folder_is_refused_before_anything_is_measured(
  tmp_path, capsys, no_measuring
):
  out = tmp_path / "none" / "out.json"
  assert bench.main(["sft", f"--json={out}"]) == 1
  assert f"the folder {out.parent} does not exist" in capsys.readouterr().err


def test_arguments_have_defaults():
  args = bench._parser().parse_args(["sft"])
  assert (args.rows, args.against, args.size) == (None, "", "small")
  assert (args.steps, args.seconds, args.json) == (20, 120.0, None)


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    ([], "required: TARGET"),
    (["ppo"], "invalid choice: 'ppo'"),
    (["sft", "--steps=0"], "'0' is no whole number above 0"),
    (["sft", "--steps=two"], "'two' is no whole number above 0"),
    (["sft", "--seconds=nan"], "'nan' is no number above 0"),
    (["sft", "--seconds=inf"], "'inf' is no number above 0"),
    (["sft", "--size=70b"], "invalid choice: '70b'"),
    (["sft", "--against=axolotl"], "invalid choice: 'axolotl'"),
    (["sft", "--step=5"], "unrecognized arguments: --step=5"),
  ],
)
def test_wrong_arguments_exit_with_2(argv, message, capsys):
  with pytest.raises(SystemExit) as exit_:
    bench.main(argv)
  assert exit_.value.code == 2
  assert message in capsys.readouterr().err


def test_help_shows_an_example(capsys):
  with pytest.raises(SystemExit) as exit_:
    bench.main(["--help"])
  assert exit_.value.code == 0
  assert "ramjax bench sft --against=trl" in capsys.readouterr().out


def test_sizes_in_the_help_are_those_of_the_target():
  from ramjax.models import presets
  from ramjax.tools import bench_training

  said = " ".join(bench._parser().format_help().split())
  for name, fields in bench_training.SIZES.items():
    size = presets.llama_config("tiny", **fields).num_parameters
    assert f"{name} {size / 1e6:.1f}M" in said
  for name, large in bench_training.LARGE.items():
    released = f"Llama {large.preset[5]}.{large.preset[7]} {name.upper()}"
    rows = f"{large.rows} packed rows of {bench_training.LARGE_LENGTH:,}"
    assert f"{name} {released}, {rows}" in said
  assert set(bench._SIZES) == {*bench_training.SIZES, *bench_training.LARGE}


def test_a_size_of_another_target_is_refused(capsys, no_measuring):
  assert bench.main(["preference", "--size=8b"]) == 1
  said = capsys.readouterr().err
  assert "--size=8b is not a size of preference" in said
  assert "tiny, small, 1b." in said


def test_table_holds_every_figure_in_its_unit():
  name = "trl raw with ckpt"
  assert len(name) == bench_table.NAME_WIDTH
  first, second, row = bench_table.table({name: _summary()}).splitlines()
  assert len(first) == len(second) == len(row) <= bench_table.WIDTH
  assert row[: len(name)] == name
  assert row[len(name) :].split() == [
    "123,456",  # tokens a step
    "12,346",  # p10, median and p90 in ms
    "56.8",
    "1.23",
    "1,234,567",  # tokens/s
    "123,456",  # supervised tokens/s
    "98.8",  # padding, %
    "123,400",  # GFLOP/s
    "45.6",  # MFU, %
    "123.4",  # compile, s
    "98,765",  # MB above imports
  ]


def test_ledgers_get_tokens_per_second_beside_those_of_full_mfu():
  summary = _summary(tokens_per_s=300.0, mfu=0.25)
  assert bench.headlines({"ours": summary}) == {
    "ours": (300.0, "tokens/s", 1200.0)
  }


def test_the_data_sheet_s_limit_stands_beside_each_figure():
  # 6 GFLOP a token: 60 TFLOP/s are 10,000 tokens/s.
  ours = dict(tokens_per_s=4500.0, flops_per_token=6e9, flops_per_s=27e12)
  assert bench_table.of_data_sheet({"ours packed": ours}, 60e12) == (
    "limit by the data sheet's 60.0 TFLOP/s: ours packed 4,500 of 10,000"
    " tokens/s (45.0 %)"
  )


def test_every_target_is_in_the_help():
  said = bench._parser().format_help()
  for target in (*bench._TARGETS, *bench._COMMANDS):
    assert target in said, target


def test_small_figures_keep_two_digits():
  assert bench_table.rounded(0.0012345) == "0.0012"
  assert bench_table.rounded(0.0) == "0.00"


def test_table_shows_device_memory_where_there_is_some():
  shown = bench_table.table(
    {
      "ours": _summary(device_peak_bytes=3_000_000),
      "trl": _summary(compile_s=None),
    }
  ).splitlines()
  assert shown[0].endswith("device") and shown[2].endswith(" 3")
  assert shown[3].endswith("-      0")


def test_sentences_are_wrapped_to_the_width_of_the_table():
  lines = bench_table.wrapped("word " * 60).splitlines()
  assert max(map(len, lines)) <= bench_table.WIDTH
  assert lines[1].startswith("  word")


def test_peer_settings_are_said_once_and_then_as_changes():
  settings = {"packing": False}
  default = {"seed": [42, 0], "bf16": [None, False]}
  raw = {**default, "gradient_checkpointing": [True, False]}
  lines = bench._peer_settings(
    {
      "ours packed": {"rounds": [{}]},
      "trl default": {
        "rounds": [{"settings": settings, "overridden": default}]
      },
      "trl raw": {"rounds": [{"settings": settings, "overridden": raw}]},
    }
  )
  assert lines == [
    "trl default: packing False",
    "trl default overrides: seed 42 -> 0, bf16 None -> False",
    "trl raw also overrides: gradient_checkpointing True -> False",
  ]


@pytest.mark.slow
def test_our_side_alone_is_measured(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv("XLA_FLAGS", tiny_compile.quick())
  out = tmp_path / "out.json"
  argv = ["sft", "--size=tiny", "--steps=2", "--rows=tasks:200?seed=0"]
  assert bench.main([*argv, f"--json={out}"]) == 0
  printed = capsys.readouterr().out
  assert "ours packed" in printed and "ours raw" in printed
  assert max(map(len, printed.splitlines())) <= bench_table.WIDTH
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", *argv, f"--json={out}"]
  assert list(report["cases"]) == ["ours packed", "ours raw"]
  for case in report["cases"].values():
    assert case["steps"] == 2 and 0 < case["mfu"] and case["compile_s"] > 0
  packed = report["cases"]["ours packed"]
  assert packed["padding_share"] < 0.2
  assert packed["counts"]["places"] == 2 * 8 * 512


def _one_quick_round(monkeypatch):
  """Speed is no matter: cases run once, in processes that compile as tests do."""
  monkeypatch.setattr(bench, "_ROUNDS_AGAINST", 1)
  monkeypatch.setenv("XLA_FLAGS", tiny_compile.quick())


@pytest.mark.slow
@pytest.mark.peers
def test_both_sides_train_on_the_same_tokens_from_the_same_loss(
  tmp_path, monkeypatch, capsys
):
  for package in ("torch", "transformers", "trl"):
    pytest.importorskip(package)
  _one_quick_round(monkeypatch)
  out = tmp_path / "out.json"
  argv = ["sft", "--size=tiny", "--steps=4", "--rows=tasks:200?seed=0"]
  assert bench.main([*argv, "--against=trl", f"--json={out}"]) == 0
  report = json.loads(out.read_text())
  cases = report["cases"]
  assert len(cases) == 7
  prepared = cases["trl default"]["rounds"][0]["data"]
  assert prepared == {
    name: report["data"][name]
    for name in ("examples", "tokens", "supervised_tokens")
  }
  assert prepared["examples"] == 200
  for name in ("trl raw", "ours raw remat", "trl raw ckpt"):
    assert cases[name]["counts"] == cases["ours raw"]["counts"]
  loss = next(f for f in report["findings"] if f["figure"] == "loss")
  assert loss["apart"][0] < 1e-4 and len(loss["apart"]) == 4
  # The updates are the same, too: three of them later so is the loss.
  assert loss["ours"][3] < loss["ours"][0] - 0.1 and loss["apart"][3] < 1e-3
  kept = cases["trl default"]["rounds"][0]["settings"]
  assert kept["per_device_train_batch_size"] == 8
  assert kept["gradient_checkpointing"] and not kept["packing"]
  printed = capsys.readouterr().out
  assert "supervised tokens/s, ours packed / trl default: " in printed
  assert max(map(len, printed.splitlines())) <= bench_table.WIDTH


@pytest.mark.slow
@pytest.mark.peers
def test_both_sides_train_on_the_same_pairs_from_the_same_loss(
  tmp_path, monkeypatch, capsys
):
  for package in ("torch", "transformers", "trl"):
    pytest.importorskip(package)
  _one_quick_round(monkeypatch)
  out = tmp_path / "out.json"
  argv = ["preference", "--size=tiny", "--steps=2", "--against=trl"]
  rows = "--rows=task_pairs:200?seed=0"
  assert bench.main([*argv, rows, f"--json={out}"]) == 0
  report = json.loads(out.read_text())
  cases = report["cases"]
  assert len(cases) == 8
  prepared = cases["trl default"]["rounds"][0]["data"]
  assert prepared == {
    name: report["data"][name]
    for name in ("examples", "tokens", "supervised_tokens")
  }
  loss = next(f for f in report["findings"] if f["figure"] == "loss")
  # Not ln 2, which any two sides would agree on.
  assert abs(loss["ours"][0] - 0.6931) > 1e-3 and loss["apart"][0] < 1e-5
  kept = cases["trl default"]["rounds"][0]["settings"]
  assert kept["per_device_train_batch_size"] == 8 and kept["beta"] == 0.1
  assert kept["gradient_checkpointing"]
  assert not kept["precompute_ref_log_probs"]
  # However little of it a case computes, the policy starts from ln 2.
  for name in cases:
    if "raw" not in name:
      first = cases[name]["rounds"][0]["losses"][0]
      assert first == pytest.approx(0.693147, abs=1e-4), name
  printed = capsys.readouterr().out
  assert "tokens/s, ours +cached / trl default: " in printed
  assert max(map(len, printed.splitlines())) <= bench_table.WIDTH
