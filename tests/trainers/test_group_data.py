# SPDX-License-Identifier: Apache-2.0
"""The data of a run on answers: what is kept, counted, held out, refused."""

import json

import numpy as np
import pytest
import tiny_model_folder

from ramjax.configs import base
from ramjax.data import parse_graded_rows
from ramjax.trainers import group_data, unpaired


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model with a tokenizer of 300 tokens."""
  root = tmp_path_factory.mktemp("data")
  tiny_model_folder.write(root / "model")
  return root


def _pair(i, **more):
  return {
    "prompt": f"word {i} and",
    "chosen": f"more {i}",
    "rejected": f"then word {i}",
    **more,
  }


def _rows(*records):
  return "\n".join(map(json.dumps, records))


def _load(folder, tmp_path, sources, load=group_data.load_pairs, **terms):
  make = base.unpaired if terms else base.preference
  config = make(**(terms or dict(dpo=dict(weight=1.0, beta=0.1))))
  config.tokenizer.path = str(folder / "model/tokenizer.model")
  config.data.max_length = 40
  config.data.batch_size = 4
  for name, (text, fields) in sources.items():
    path = tmp_path / f"{name}.jsonl"
    path.write_text(text)
    config.data.sources[name] = base.source(str(path), **fields)
  data = load(config, tmp_path / "run", vocab_size=320)
  return config, data


def test_a_row_whose_answers_are_the_same_once_cut_is_counted(folder, tmp_path):
  long = "word 1 " * 40
  same = _pair(1, chosen=long + "a", rejected=long + "b")
  text = _rows(_pair(0), same, _pair(2))
  _, data = _load(folder, tmp_path, {"main": (text, {})})
  assert len(data.train[0]) == 2 and len(data.train_rows[0]) == 3
  assert data.train_row_ids == [[0, 2]]
  counts = data.summary["main"]
  assert counts["rows_identical"] == 1 and counts["rows_truncated"] == 1
  assert "1 + 0 left out" in group_data.describe_source(counts)


def test_a_source_of_nothing_but_such_rows_is_refused(folder, tmp_path):
  long = "word 1 " * 40
  text = _rows(_pair(1, chosen=long + "a", rejected=long + "b"))
  with pytest.raises(ValueError, match=r"'main': in all 1 rows .*max_length"):
    _load(folder, tmp_path, {"main": (text, {})})


def test_no_source_is_refused(folder, tmp_path):
  with pytest.raises(ValueError, match=r"data\.sources is empty"):
    _load(folder, tmp_path, {})


def test_the_subset_is_the_rows_own_or_else_its_source(folder, tmp_path):
  one = _rows(*(_pair(i, subset="math" if i % 2 else "") for i in range(8)))
  two = _rows(*(_pair(i, subset=3) for i in range(8, 16)))
  held = dict(eval_rows=4)
  _, data = _load(folder, tmp_path, {"a": (one, held), "b": (two, held)})
  assert len(data.held_out) == len(data.held_out_subsets) == 8
  # In the order of the groups: those of source a, then those of source b.
  assert set(data.held_out_subsets[:4]) <= {"math", "a"}
  assert data.held_out_subsets[4:] == ["b"] * 4


def test_rows_of_eval_path_are_held_out_and_not_trained_on(folder, tmp_path):
  held = tmp_path / "held.jsonl"
  held.write_text(_rows(*(_pair(i, subset="s") for i in range(20, 23))))
  text = _rows(*(_pair(i) for i in range(5)))
  fields = dict(eval_path=str(held))
  _, data = _load(folder, tmp_path, {"main": (text, fields)})
  assert (len(data.train[0]), len(data.held_out)) == (5, 3)
  assert data.held_out_subsets == ["s"] * 3
  assert data.summary["main"]["rows_held_out"] == 3


def test_a_row_of_a_batch_holds_each_answer_of_the_longest_group(
  folder, tmp_path
):
  record = {"prompt": "word", "completions": ["more", "then", "of it"]}

  def load(config, workdir, *, vocab_size):
    return group_data.load_groups(
      config,
      workdir,
      vocab_size=vocab_size,
      parse=parse_graded_rows.parse_ranked,
    )

  _, data = _load(folder, tmp_path, {"main": (_rows(record), {})}, load)
  assert data.row_length == 3 * 40


def test_margins_and_probabilities_of_rows_reach_their_groups(folder, tmp_path):
  text = _rows(_pair(0, margin=1.5, preference_prob=0.75), _pair(1))
  _, data = _load(folder, tmp_path, {"main": (text, {})})
  first, second = (group.features for group in data.train[0])
  assert first["margins"] == [1.5] and first["preference_probs"] == [0.75]
  assert second["margins"] == [0.0] and second["preference_probs"] == [1.0]


def test_a_pair_is_one_answer_of_each_label(folder, tmp_path):
  labelled = {"prompt": "word 7 and", "completion": "more", "label": False}
  text = _rows(_pair(0), labelled, _pair(1))
  _, data = _load(
    folder,
    tmp_path,
    {"main": (text, {})},
    unpaired.ALGORITHM.load_data,
    bco=dict(weight=1.0, beta=0.1),
  )
  labels = [float(group.features["labels"][0]) for group in data.train[0]]
  assert labels == [1, 0, 0, 1, 0]
  assert data.train_row_ids == [[0, 0, 1, 2, 2]]
  assert all(group.size == 1 for group in data.train[0])


def test_kto_gets_an_answer_of_another_prompt_beside_each(folder, tmp_path):
  text = _rows(*(_pair(i) for i in range(3)))
  _, data = _load(
    folder,
    tmp_path,
    {"main": (text, {})},
    unpaired.ALGORITHM.load_data,
    kto=dict(weight=1, beta=0.1, desirable_weight=1, undesirable_weight=1),
  )
  (groups,) = data.train
  assert len(groups) == 6 and all(group.size == 2 for group in groups)
  own = {group.responses[0].tobytes(): group.prompts[0] for group in groups}
  for group in groups:
    other = own[group.responses[1].tobytes()]
    assert not np.array_equal(other, group.prompts[0])


def test_a_batch_is_counted_once_where_a_prompt_is_shared(folder, tmp_path):
  text = _rows(_pair(0))
  counts = []
  for share_prompt in (False, True):
    config, data = _load(folder, tmp_path, {"main": (text, {})})
    config.data.share_prompt = share_prompt
    config.data.pack = False
    batches = group_data.train_batches(config, data)
    counts.append((group_data.count_batch(next(batches)), data))
    batches.close()
  (apart, data), (shared, _) = counts
  (group,) = data.train[0]
  assert apart.places == shared.places == 4 * 80
  # A group in each of four rows.
  assert apart.tokens == 4 * group.num_tokens
  assert shared.tokens == apart.tokens - 4 * (len(group.prompts[0]) - 1)
  assert apart.supervised == shared.supervised
