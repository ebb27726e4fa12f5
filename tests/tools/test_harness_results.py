# SPDX-License-Identifier: Apache-2.0
"""Results of the harness: as figures, and as the files that it writes itself."""

import json
import math
from typing import Any

import numpy as np
import pytest

from ramjax.tools import harness_results

_SAMPLE: dict[str, Any] = {
  "doc_id": 0,
  "doc": {"question": "é?", "score": np.float32(0.5), "right": np.bool_(True)},
  "target": 3,
  "arguments": [("a", " b"), ("a", " c")],
  "resps": [[(-1.5, True)], [(-2.5, False)]],
  "filtered_resps": [(-1.5, True), (-2.5, False)],
  "filter": "none",
  "metrics": ["acc"],
  "doc_hash": "1",
  "prompt_hash": "2",
  "target_hash": "3",
  "acc": 1.0,
}


def _found(**settings) -> dict[str, Any]:
  return {
    "results": {
      "one": {
        "name": "one",
        "alias": "one",
        "sample_len": 4,
        "acc,none": np.float64(0.25),
        "acc_stderr,none": np.float64(0.125),
        "exact_match,strict": 1,
        "exact_match_stderr,strict": "N/A",
        "bits_per_byte,none": math.inf,
        "bits_per_byte_stderr,none": math.nan,
        "label,none": "none of ours",
      }
    },
    "configs": {"one": {}},
    "versions": {"one": "Yaml"},
    "n-shot": {"one": 2},
    "n-samples": {"one": {"original": 4, "effective": 4}},
    "lm_eval_version": "0.4.13",
    "date": 1.5e9,
    **settings,
  }


def _evaluation(found, **settings):
  settings = {"template": None, "num_truncated": 0} | settings
  return harness_results.evaluation(
    found, benchmark="harness, one", model="mine", **settings
  )


def test_a_metric_has_its_filter_and_error_in_its_name():
  found = _evaluation(_found())
  assert found.figures == {
    "one acc": 0.25,
    "one acc, standard error": 0.125,
    "one exact_match (strict)": 1,
    "one bits_per_byte": None,
  }
  assert found.tables["tasks"] == [
    {"task": "one", "version": "Yaml", "shots": 2, "documents": 4}
  ]
  assert found.counted == {}
  assert "lm_eval 0.4.13, no chat template" in found.notes[0]
  assert found.notes[1] == "No finite number: one bits_per_byte."


def test_groups_are_told_and_what_was_left_out_is_counted():
  group = {"alias": "all", "acc,none": 0.5, "acc_stderr,none": 0.01}
  counts = {"one": {"original": 9, "effective": 4}}
  found = _evaluation(
    _found(**{"groups": {"all": group}, "n-samples": counts}),
    template="plain",
    num_truncated=3,
  )
  assert found.figures["all acc"] == 0.5
  assert found.figures["all acc, standard error"] == 0.01
  assert list(found.counted.values()) == [5, 3]
  assert "chat template plain" in found.notes[0]


def test_results_are_strict_json(tmp_path):
  found = _found(config={"metric": len, "set": {1}, 3: (np.int64(2), None)})
  (path,) = harness_results.write(tmp_path, found, {})
  assert path == tmp_path / "results.json"
  read = json.loads(path.read_text(), parse_constant=pytest.fail)
  assert read["config"] == {
    "metric": str(len),
    "set": [1],
    "3": [2, None],
  }
  assert read["results"]["one"]["acc,none"] == 0.25
  assert read["results"]["one"]["bits_per_byte,none"] is None
  assert read["results"]["one"]["exact_match_stderr,strict"] == "N/A"


def test_a_sample_is_a_line_of_its_task(tmp_path):
  _, path = harness_results.write(tmp_path, _found(), {"one": [_SAMPLE] * 2})
  assert path.name.startswith("samples_one_2017-07-1")
  assert ":" not in path.name and path.suffix == ".jsonl"
  first, second = path.read_text().splitlines()
  assert first == second
  row = json.loads(first)
  assert row["doc"] == {"question": "é?", "score": 0.5, "right": True}
  assert row["arguments"]["gen_args_1"] == {"arg_0": "a", "arg_1": " c"}
  assert row["resps"] == [[["-1.5", "True"]], [["-2.5", "False"]]]
  assert row["target"] == "3" and row["acc"] == 1.0


@pytest.mark.peers
def test_a_sample_is_written_as_the_harness_writes_it(tmp_path):
  pytest.importorskip("lm_eval")
  from lm_eval.loggers import EvaluationTracker

  _, ours = harness_results.write(tmp_path, _found(), {"one": [_SAMPLE]})
  tracker = EvaluationTracker(output_path=str(tmp_path / "theirs.json"))
  tracker.date_id = "now"
  tracker.save_results_samples("one", [dict(_SAMPLE)])  # pyright: ignore
  theirs = tmp_path / "samples_one_now.jsonl"
  assert json.loads(ours.read_text()) == json.loads(theirs.read_text())


def test_files_that_results_rest_on_are_found(tmp_path):
  data = tmp_path / "data.jsonl"
  data.write_text("")
  named = {"test": [str(data)], "train": "hub/file.jsonl"}
  kwargs = [
    {"data_files": named},
    {"data_files": str(data)},
    {"split": str(data)},
    None,
    {},
  ]
  assert harness_results.data_files(kwargs) == [data]
