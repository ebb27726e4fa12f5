# SPDX-License-Identifier: Apache-2.0
"""A judge that is shown a known good answer, over HTTP."""

import json
import re

import pytest
import tiny_judge
from tiny_endpoint import TinyEndpoint

from ramjax.evals import alpaca_annotations
from ramjax.tools import eval_win_rate

_TASKS = [f"task {i}" for i in range(6)]
_TEMPLATE = tiny_judge.TEMPLATE.replace(
  "Which is", "<good>{reference}</good>\nWhich is"
)
_GOOD = re.compile(r"<good>(.*)</good>", re.DOTALL)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
  tiny_judge.retry_quickly(monkeypatch)


@pytest.fixture
def argv(tmp_path):
  """Arguments of a benchmark of 6 tasks with references, without the judge."""
  texts = {"model": "b" * 3, "baseline": "a" * 5, "good": "{output_1} right"}
  for name, text in texts.items():
    rows = [
      {"instruction": task, "output": f"{text} {i}", "generator": name}
      for i, task in enumerate(_TASKS)
    ]
    # In another order: they meet by instruction.
    rows = rows[::-1] if name == "good" else rows
    (tmp_path / f"{name}.json").write_text(json.dumps(rows))
  (tmp_path / "prompt.txt").write_text(_TEMPLATE)
  (tmp_path / "plain.txt").write_text(tiny_judge.TEMPLATE)
  return [
    f"--model={tmp_path / 'model.json'}",
    f"--reference={tmp_path / 'baseline.json'}",
    f"--prompt={tmp_path / 'prompt.txt'}",
    f"--references={tmp_path / 'good.json'}",
    f"--out={tmp_path / 'out'}",
  ]


def _judge(server):
  return [f"--judge={server.url}", "--judge-name=tiny"]


def test_each_pair_and_canary_is_shown_its_own_reference(argv, tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    assert eval_win_rate.main([*argv, *_judge(server), "--canaries=1"]) == 0
  assert len(server.asked) == 6 + 5
  for asked in server.asked:
    task = tiny_judge.shown(asked)[0]
    found = _GOOD.search(asked.body["messages"][-1]["content"])
    # As it is: a slot in it is text.
    assert found and found[1] == f"{{output_1}} right {task.split()[1]}"
  record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  assert str(tmp_path / "good.json") in record["inputs"]
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert judged.preferences == [
    pytest.approx(1 + tiny_judge.share_of_first("b" * 3, "a" * 5), abs=1e-6)
  ] * len(_TASKS)


def test_another_reference_is_another_verdict_and_the_same_is_not(
  argv, tmp_path
):
  path = tmp_path / "good.json"
  with TinyEndpoint(tiny_judge.act) as server:
    eval_win_rate.main([*argv, *_judge(server), "--canaries=0"])
    eval_win_rate.main([*argv, *_judge(server), "--canaries=0"])
    assert len(server.asked) == 6
    rows = json.loads(path.read_text())
    rows[2]["output"] = "another"
    path.write_text(json.dumps(rows))
    eval_win_rate.main([*argv, *_judge(server), "--canaries=0"])
    assert [tiny_judge.shown(asked)[0] for asked in server.asked[6:]] == [
      rows[2]["instruction"]
    ]


@pytest.mark.parametrize(
  "break_it,match",
  [
    (lambda rows: rows.pop(1), r"'task 4' has no answer among the 5 known"),
    (lambda rows: rows[0].update(output=" "), r"'task 5' has an empty answer"),
  ],
)
def test_an_instruction_without_a_reference_is_refused_before_asking(
  argv, tmp_path, break_it, match
):
  path = tmp_path / "good.json"
  rows = json.loads(path.read_text())
  break_it(rows)
  path.write_text(json.dumps(rows))
  with TinyEndpoint(tiny_judge.act) as server:
    with pytest.raises(ValueError, match=match):
      eval_win_rate.main([*argv, *_judge(server)])
    assert server.asked == []
  assert not (tmp_path / "out").exists()


def test_a_slot_and_references_need_each_other(argv, tmp_path):
  judge = ["--judge=http://127.0.0.1:9", "--judge-name=x"]
  with pytest.raises(
    ValueError, match=r"slot \{reference\}.*--references=FILE"
  ):
    eval_win_rate.main([*argv[:3], argv[4], *judge])
  argv[2] = f"--prompt={tmp_path / 'plain.txt'}"
  with pytest.raises(ValueError, match=r"has no slot \{reference\}"):
    eval_win_rate.main([*argv, *judge])
