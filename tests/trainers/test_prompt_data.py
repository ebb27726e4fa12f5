# SPDX-License-Identifier: Apache-2.0
"""The prompts of an online run: what is kept, counted, held out, refused."""

import functools
import json

import pytest
import tiny_letters
import tiny_model_folder

from ramjax.configs import base
from ramjax.data import encode
from ramjax.data.rows import Message, PromptRow
from ramjax.trainers import ppo, prompt_data, select


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model with a tokenizer of 300 tokens."""
  root = tmp_path_factory.mktemp("data")
  tiny_model_folder.write(root / "model")
  return root


def _load(
  folder, tmp_path, records, *, max_length=32, condition=None, **fields
):
  config = base.ppo()
  config.tokenizer.path = str(folder / "model/tokenizer.model")
  config.data.max_length = max_length
  config.rollout.max_new_tokens = 8
  for name, rows in records.items():
    path = tmp_path / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    config.data.sources[name] = base.source(str(path), **fields)
  return prompt_data.load_prompt_data(
    config, tmp_path / "run", vocab_size=320, condition=condition
  )


def _row(i, **more):
  return {"prompt": f"word {i} and", "answer": i, **more}


def test_a_prompt_keeps_its_record_and_its_turns(folder, tmp_path):
  chat = [{"role": "user", "content": "word 7"}]
  data = _load(folder, tmp_path, {"main": [_row(1), {"prompt": chat}]})
  raw, turn = data.train[0]
  assert raw.record == {"prompt": "word 1 and", "answer": 1}
  assert raw.messages == (Message("user", "word 1 and"),)
  expected = data.tokenizer.encode("word 1 and", at_start=True)
  assert raw.tokens.tolist() == [data.tokenizer.bos_id, *expected]
  assert turn.messages == (Message("user", "word 7"),)
  assert (raw.text, turn.text) == ("word 1 and", turn.messages)
  # The header of the answer follows.
  text = data.tokenizer.decode(turn.tokens.tolist())
  assert "word 7" in text and len(text) > len("word 7")
  assert data.weights == [1.0]


def test_a_prompt_without_room_for_an_answer_is_left_out_and_counted(
  folder, tmp_path
):
  long = {"prompt": "word 1 " * 30}
  rows = {"a": [_row(1), long, _row(2)], "b": [_row(3)]}
  data = _load(folder, tmp_path, rows)
  assert [len(prompts) for prompts in data.train] == [2, 1]
  counts = data.summary["a"]
  assert counts["prompts_too_long"] == 1
  assert data.summary["b"]["prompts_too_long"] == 0
  assert counts["tokens"] == sum(len(p.tokens) for p in data.train[0])
  assert "1 + 0 too long" in ppo._describe_source(counts)


def test_a_prompt_that_just_leaves_room_is_kept(folder, tmp_path):
  fits = _load(folder, tmp_path, {"main": [_row(1)]})
  length = len(fits.train[0][0].tokens)
  kept = _load(folder, tmp_path, {"main": [_row(1)]}, max_length=length + 8)
  assert len(kept.train[0]) == 1
  with pytest.raises(ValueError, match=r"every prompt of data\.sources\.main"):
    _load(folder, tmp_path, {"main": [_row(1)]}, max_length=length + 7)


def test_a_prompt_beside_its_conversation_is_asked_for_as_the_conversation(
  folder, tmp_path
):
  """As in UltraFeedback, whose prompt is a text beside conversations."""
  turns = [
    {"role": "user", "content": "word 7"},
    {"role": "assistant", "content": "and"},
  ]
  other = [turns[0], {"role": "assistant", "content": "no"}]
  row = {"prompt": "word 7", "chosen": turns, "rejected": other}
  data = _load(folder, tmp_path, {"main": [row]})
  assert data.train[0][0].text == (Message("user", "word 7"),)


def test_room_is_left_for_what_a_prompt_is_told(folder, tmp_path):
  chat = {"prompt": [{"role": "user", "content": "word 7"}]}
  told = select.find(dict(name="quantiles", phrase="word {quantile}")).condition
  load = functools.partial(_load, folder, tmp_path, {"main": [chat]})
  (prompt,) = load(max_length=200).train[0]
  assert told is not None
  template = base.ppo().data.template
  tokenizer = load(max_length=200).tokenizer
  asked = len(encode.encode_prompt(told(prompt.text), template, tokenizer)[0])
  assert asked > len(prompt.tokens)
  assert load(max_length=asked + 8, condition=told).train[0]
  with pytest.raises(ValueError, match="with the phrase of select than"):
    load(max_length=asked + 7, condition=told)
  assert load(max_length=asked + 7).train[0]


def test_held_out_prompts_of_all_sources_come_in_turn(folder, tmp_path):
  rows = {
    "a": [_row(i) for i in range(10)],
    "b": [_row(i) for i in range(10, 20)],
  }
  data = _load(folder, tmp_path, rows, eval_rows=2)
  answers = [prompt.record["answer"] for prompt in data.held_out]
  assert [answer // 10 for answer in answers] == [0, 1, 0, 1]
  trained = {p.record["answer"] for prompts in data.train for p in prompts}
  assert len(trained) == 16 and not trained & set(answers)


def test_an_answer_ends_at_the_templates_token_or_the_eos(folder, tmp_path):
  data = _load(folder, tmp_path, {"main": [_row(1)]})
  assert data.tokenizer.eos_id in data.stop_tokens
  assert len(set(data.stop_tokens)) == len(data.stop_tokens)


def test_without_a_bos_an_empty_prompt_is_refused():
  row = PromptRow("", {})
  tokenizer = tiny_letters.Letters(bos_id=None)
  with pytest.raises(ValueError, match="a prompt is empty"):
    prompt_data._tokenize(row, "plain", tokenizer)
  with_bos = prompt_data._tokenize(row, "plain", tiny_letters.Letters())
  assert with_bos.tokens.tolist() == [1]


def test_no_sources_are_refused(folder, tmp_path):
  with pytest.raises(ValueError, match=r"data\.sources is empty"):
    _load(folder, tmp_path, {})


def test_no_room_for_any_prompt_is_refused(folder, tmp_path):
  with pytest.raises(ValueError, match="max_new_tokens=8 leaves no room"):
    _load(folder, tmp_path, {"main": [_row(1)]}, max_length=8)
