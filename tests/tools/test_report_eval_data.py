# SPDX-License-Identifier: Apache-2.0
"""What evaluations were made from, by option, and where two differ in it."""

import pytest

from ramjax.tools import report_eval_data


def made(inputs, *words):
  command = ["ramjax", "eval", "x", *words]
  return report_eval_data.of({"inputs": inputs, "command": command})


def test_digests_stand_under_the_option_that_led_to_the_file():
  found = made(
    {
      "d/test.jsonl": "1",
      "tasks/a.yaml": "2",
      "tasks/in/b.yaml": "3",
      "cache/c.parquet": "4",
    },
    "--data=./d/test.jsonl",
    "--include-path",
    "tasks",
    "--limit=3",
  )
  assert found == {
    "--data": {"1"},
    "--include-path": {"2", "3"},
    "": {"4"},
  }


def test_a_file_belongs_to_the_nearest_option():
  found = made({"a/b/c": "1", "a/d": "2"}, "--shots=a/b", "--data=a")
  assert found == {"--shots": {"1"}, "--data": {"2"}}


def test_the_model_s_own_files_are_left_out():
  found = made(
    {"m.json": "1", "out/cache/x": "2", "verdicts.json": "3", "ref.json": "4"},
    "--model=m.json",
    "--out=out",
    "--judge=verdicts.json",
    "--reference=ref.json",
  )
  assert found == {"--reference": {"4"}}


def test_a_judge_and_data_without_a_file_stand_as_they_were_given():
  url = "--judge=http://127.0.0.1:1"
  assert made({}, url, "--data=helpful") == {
    "--judge": {"http://127.0.0.1:1"},
    "--data": {"helpful"},
  }
  # Its address may be another one each time.
  assert made({}, url, "--judge-name=j") == {"--judge": {"j"}}


@pytest.mark.parametrize(
  "record",
  [
    {},
    {"inputs": None, "command": None},
    {"inputs": [1], "command": "--data=a"},
    {"inputs": {"a": 1}, "command": [1, None, "--"]},
    {"inputs": {"a" * 5000: "1"}, "command": ["--data"]},
  ],
)
def test_records_without_inputs_say_nothing(record):
  assert report_eval_data.of(record).get("", frozenset()) == frozenset()
  assert report_eval_data.differences([report_eval_data.of(record)] * 2) == []


def test_differences_are_named_by_their_option():
  a = made({"x/h.jsonl": "1", "s": "9"}, "--data=x/h.jsonl", "--shots=s")
  b = made({"y/h.jsonl": "1", "s": "8"}, "--data=y/h.jsonl", "--shots=s")
  assert report_eval_data.differences([a, a]) == []
  # The data are the same under whatever path.
  assert report_eval_data.differences([a, b]) == ["--shots"]
  assert report_eval_data.differences([a, made({}), b]) == ["--shots"]


def test_files_of_no_option_differ_where_none_is_shared():
  # One of two may be the model's own answers.
  a, b = made({"a": "1", "own": "2"}), made({"a": "1", "own": "3"})
  assert report_eval_data.differences([a, b]) == []
  assert report_eval_data.differences([a, made({"b": "7"})]) == ["files"]
  assert report_eval_data.differences([a, b, made({"own": "2"})]) == ["files"]
