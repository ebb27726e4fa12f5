# SPDX-License-Identifier: Apache-2.0
"""`ramjax results`: the last evaluation of each run, and what it lacks."""

import json

from ramjax.tools import results


def _run(folder, algorithm, *lines):
  folder.mkdir()
  (folder / "config.json").write_text(json.dumps({"algorithm": algorithm}))
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text)
  return str(folder)


def test_the_last_evaluation_of_each_run_is_a_row(tmp_path, capsys):
  sft = _run(
    tmp_path / "sft",
    "sft",
    {"step": 0, "eval/loss": 7.0, "eval/verified_accuracy": 0.0},
    {"step": 9, "eval/loss": 1.5, "eval/verified_accuracy": 0.625},
    {"step": 9, "train/loss": 1.0},
  )
  rm = _run(
    tmp_path / "rm",
    "reward",
    {"step": 4, "eval/loss": 0.5, "eval/rewards/accuracy": 0.75},
  )
  assert results.main([sft, rm]) == 0
  head, first, second = capsys.readouterr().out.splitlines()
  assert head.split() == [
    *("run", "algorithm", "step", "verified", "from"),
    *("pairs", "right", "loss"),
  ]
  assert first.split() == [sft, "sft", "9", "62.5%", "0.0%", "1.5000"]
  assert second.split() == [rm, "reward", "4", "75.0%", "0.5000"]


def test_sampled_answers_stand_beside_greedy_ones(tmp_path, capsys):
  online = _run(
    tmp_path / "grpo",
    "ppo",
    {
      "step": 0,
      "eval/verified_accuracy": 0.5,
      "eval/sampled/verified_accuracy": 0.25,
    },
    {
      "step": 9,
      "eval/verified_accuracy": 0.625,
      "eval/sampled/verified_accuracy": 0.375,
    },
  )
  assert results.main([online]) == 0
  head, line = capsys.readouterr().out.splitlines()
  assert head.split()[3:] == [
    *("verified", "from", "sampled", "sampled", "from")
  ]
  assert line.split()[3:] == ["62.5%", "50.0%", "37.5%", "25.0%"]


def test_a_run_in_rounds_shows_its_score_and_how_sure_the_change_is(
  tmp_path, capsys
):
  run = _run(tmp_path / "rounds", "rounds")
  (tmp_path / "rounds/metrics.jsonl").unlink()
  lines = [
    {"round": 0, "eval/score": -0.5},
    {
      "round": 2,
      "eval/score": -0.25,
      "eval/score_change": 0.25,
      "eval/score_change_stderr": 0.03125,
    },
  ]
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (tmp_path / "rounds/rounds.jsonl").write_text(text)
  assert results.main([run]) == 0
  head, line = capsys.readouterr().out.splitlines()
  assert head.split()[3:] == ["score", "change", "+-"]
  assert line.split()[1:] == ["rounds", "2", "-0.25", "+0.25", "0.031"]


def test_a_run_without_an_evaluation_is_named(tmp_path, capsys):
  run = _run(tmp_path / "r", "sft", {"step": 1, "train/loss": 1.0})
  assert results.main([run]) == 1
  assert f"{run} was not evaluated" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_an_error(tmp_path, capsys):
  assert results.main([str(tmp_path)]) == 1
  assert "ramjax results:" in capsys.readouterr().err
