# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval reward_bench` of a folder: scores made here count as those read."""

import dataclasses
import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tiny_adapters
import tiny_model_folder

from ramjax.data.encode import encode
from ramjax.data.rows import Message
from ramjax.data.tokenizers import load_tokenizer
from ramjax.models import heads, llama, source_params
from ramjax.models.open_model import open_model
from ramjax.tools import eval as eval_command
from ramjax.tools import (
  eval_reward_bench,
  eval_reward_bench_run,
  loaded_model,
)

_REWARD = dataclasses.replace(
  tiny_model_folder.CONFIG, num_labels=1, tie_embeddings=False
)
_ANSWERS = ["word 1", "word 2, then", "more of it", "then 5 and 6", "it"]


def _answer(i):
  return f"{_ANSWERS[i % 5]} {_ANSWERS[(i // 5) % 5]}"


def _version_1():
  subsets = ("hep-go", "hep-go", "alpacaeval-easy", "donotanswer", "shp")
  return [
    {
      "prompt": f"word {i}",
      "chosen": _answer(i),
      "rejected": _answer(i + 7),
      "subset": subsets[i % 5],
      "id": i,
    }
    for i in range(10)
  ]


def _version_2():
  def row(i, subset, id_, num_correct, num_wrong):
    answers = [_answer(i + 3 * k) for k in range(num_correct + num_wrong)]
    return {
      "prompt": f"word {i}",
      "chosen": answers[:num_correct],
      "rejected": answers[num_correct:],
      "num_correct": num_correct,
      "total_completions": len(answers),
      "subset": subset,
      "id": id_,
    }

  return [
    row(0, "Math", "1", 1, 3),
    row(1, "Focus", "1", 1, 3),
    row(2, "Math", "2", 1, 3),
    row(3, "Ties", "ref:1", 1, 2),
    row(3, "Ties", "tied:1", 3, 4),
  ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  root = tmp_path_factory.mktemp("reward_bench")
  tiny_model_folder.write(root / "reward", _REWARD, seed=3)
  tiny_model_folder.write(root / "policy")
  tiny_model_folder.write(root / "other", seed=1)
  return root


def _jsonl(folder, records, name="data.jsonl"):
  path = folder / name
  path.write_text("".join(json.dumps(record) + "\n" for record in records))
  return path


def _main(*argv):
  return eval_command.main(["reward_bench", *map(str, argv)])


def _run(data, model, *argv) -> Any:
  """The evaluation, and the lines of scores."""
  out = data.parent / "out"
  # Batches of one shape for every number of answers: few programs are compiled.
  argv = ["--batch-size=8", *argv]
  argv = [f"--data={data}", f"--model={model}", f"--out={out}", *argv]
  assert _main("--template=plain", *argv) == 0
  lines = (out / "scores.jsonl").read_text().splitlines()
  found = json.loads((out / "evaluation.json").read_text())
  return found, [json.loads(line) for line in lines]


@functools.partial(jax.jit, static_argnums=0)
def _plain_scores(config, params, tokens):
  positions = jnp.arange(64)[None]
  hidden = llama.apply(params, config, tokens, positions=positions)
  return heads.scores(params, hidden)[0, :, 0]


def _plain_score(folder, prompt, answer):
  source = open_model(folder)
  config = dataclasses.replace(source.config, dtype="float32", remat="none")
  params = source_params.load_params(source, tiny_adapters.one_device())
  source.close()
  messages = [*prompt, Message("assistant", answer)]
  tokenizer = load_tokenizer(folder / "tokenizer.model")
  tokens, _ = encode(messages, "plain", tokenizer)
  padded = np.pad(np.array(tokens, np.int32), (0, 64 - len(tokens)))[None]
  return float(_plain_scores(config, params, padded)[len(tokens) - 1])


def _same_figures(out, found, tmp_path):
  """Reads the scores that were written, as a file of anyone's."""
  again = tmp_path / "again"
  assert _main(f"--model={out / 'scores.jsonl'}", f"--out={again}") == 0
  read = json.loads((again / "evaluation.json").read_text())
  assert read["figures"] == found["figures"]
  assert read["tables"] == found["tables"]
  results = json.loads((out / "results.json").read_text())
  other = json.loads((again / "results.json").read_text())
  assert {k: x for k, x in results.items() if not isinstance(x, str)} == {
    k: x for k, x in other.items() if k != "model"
  }
  return results


def test_a_reward_model_is_run_on_version_1(tmp_path, folders):
  rows = _version_1()
  rows[0]["prompt"] = [
    {"role": "user", "content": "word 1"},
    {"role": "assistant", "content": "more"},
    {"role": "user", "content": "of it"},
  ]
  found, records = _run(_jsonl(tmp_path, rows), folders / "reward")
  assert [(r["subset"], r["id"]) for r in records] == [
    (row["subset"], row["id"]) for row in rows
  ]
  turns = tuple(Message(t["role"], t["content"]) for t in rows[0]["prompt"])
  for i, prompt in ((0, turns), (4, (Message("user", "word 4"),))):
    for side in ("chosen", "rejected"):
      expected = _plain_score(folders / "reward", prompt, rows[i][side])
      assert records[i][f"scores_{side}"] == pytest.approx(expected, abs=1e-5)
  right = [r["scores_chosen"] > r["scores_rejected"] for r in records]
  go = [
    x for x, row in zip(right, rows, strict=True) if row["subset"] == "hep-go"
  ]
  assert found["figures"]["Reasoning, share"] == pytest.approx(np.mean(go))
  assert 0 < sum(right) < 10
  assert found["figures"]["Prior Sets, share"] is not None
  identity = found["model_identity"]
  assert (identity["scorer"], identity["max_length"]) == ("reward", 64)
  assert any("score head" in note for note in found["notes"])
  results = _same_figures(tmp_path / "out", found, tmp_path)
  assert results["model"] == str(folders / "reward")
  assert results["model_type"] == "Seq. Classifier"
  assert results["chat_template"] == "plain" and "ref_model" not in results


def test_a_policy_and_its_reference_are_run_on_version_2(tmp_path, folders):
  data = _jsonl(tmp_path, _version_2())
  reference = f"--reference={folders / 'other'}"
  found, records = _run(data, folders / "policy", reference)
  assert [len(r["scores"]) for r in records] == [4, 4, 4, 3, 7]
  assert [r["num_correct"] for r in records] == [1, 1, 1, 1, 3]
  assert found["figures"]["version"] == 2
  results = _same_figures(tmp_path / "out", found, tmp_path)
  assert results["model_type"] == "DPO"
  assert results["ref_model"] == str(folders / "other")
  # A model against itself: four answers share the first place, and Ties has
  # neither gap nor spread.
  itself, _ = _run(
    data, folders / "other", reference, f"--out={tmp_path / 'i'}"
  )
  assert itself == found  # That went elsewhere.
  itself = json.loads((tmp_path / "i" / "evaluation.json").read_text())
  shares = {r["subset"]: r["score, share"] for r in itself["tables"]["subsets"]}
  assert (shares["Math"], shares["Focus"], shares["Ties"]) == (0.25, 0.25, 0.0)


def test_order_of_the_rows_moves_no_figure(tmp_path, folders):
  found, _ = _run(_jsonl(tmp_path, _version_1()), folders / "reward")
  (tmp_path / "b").mkdir()
  data = _jsonl(tmp_path / "b", _version_1()[::-1])
  turned, _ = _run(data, folders / "reward", "--batch-size=3")
  assert turned["figures"] == found["figures"]


def test_what_is_too_long_loses_its_start_and_is_counted(tmp_path, folders):
  rows = _version_1()
  long = "word 3 and then more of it, then word 4, "
  rows[3] |= {"prompt": long * 4, "rejected": long * 4, "chosen": ""}
  found, records = _run(
    _jsonl(tmp_path, rows), folders / "reward", "--max-length=60"
  )
  counted = found["counted"]
  assert [n for rule, n in counted.items() if "--max-length" in rule] == [2]
  assert counted["answers are empty"] == 1
  rows[3]["prompt"] = "something else, " + rows[3]["prompt"]
  (tmp_path / "b").mkdir()
  _, again = _run(
    _jsonl(tmp_path / "b", rows), folders / "reward", "--max-length=60"
  )
  assert again[3] == pytest.approx(records[3], abs=1e-5)


def _changed(rows, at, **fields):
  rows[at] |= fields
  return rows


@pytest.mark.parametrize(
  "rows, argv, message",
  [
    (_version_1(), ["--prior=x.json"], "--prior: for files of scores"),
    (_version_1(), ["--scorer=logp"], "leave --scorer out"),
    (_version_1(), ["--max-length=65"], "is for 64 positions at most"),
    (_version_1(), ["--version=2"], "chosen is a string: RewardBench 2"),
    (_version_2(), ["--version=1"], "chosen is a list, not a string"),
    (
      [{"subset": "shp", "scores_chosen": 1, "scores_rejected": 0}],
      [],
      "data.jsonl:1: no 'prompt': a model is run on",
    ),
    ([{"subset": "xyz"}], [], "names no subset"),
    (_changed(_version_1(), 1, subset="xyz"), [], "data.jsonl:2: subset='xyz'"),
    (_changed(_version_1(), 5, id=0), [], "also at data.jsonl:1"),
    (_changed(_version_1(), 5, id=[]), [], "data.jsonl:6: id is a list"),
    (
      _changed(_version_2(), 0, rejected=["a"], total_completions=2),
      [],
      "data.jsonl:1: 2 scores: an item of Math has 4",
    ),
    (_changed(_version_2(), 3, id="3"), [], "data.jsonl:4: id='3'"),
    (_version_2()[:4], [], "no question has both an item"),
  ],
)
def test_what_cannot_count_is_refused_before_loading(
  tmp_path, folders, capsys, monkeypatch, rows, argv, message
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  data = _jsonl(tmp_path, rows)
  model = f"--model={folders / 'reward'}"
  assert _main(model, f"--data={data}", "--template=plain", *argv) == 1
  assert message in capsys.readouterr().err


@pytest.mark.parametrize(
  "rows, argv, message",
  [
    (None, [], "name what it is run on with --data"),
    (None, ["--data=nope.jsonl"], "nope.jsonl"),
    (_version_1(), ["--prior=x.json"], "--prior: for files of scores"),
    (_version_1(), ["--beta=2"], "--beta=2.0 is of an implicit reward"),
    (_version_1(), ["--scorer=implicit"], "needs --reference=FOLDER"),
    (_changed(_version_1(), 1, subset="xyz"), [], "data.jsonl:2: subset='xyz'"),
    (_changed(_version_1(), 1, chosen=None), [], "data.jsonl:2: no 'chosen'"),
  ],
)
def test_a_command_is_checked_without_a_model(tmp_path, rows, argv, message):
  empty = tmp_path / "empty"
  empty.mkdir()
  base = [f"--model={empty}", "--step=1", f"--out={tmp_path / 'new'}"]
  good = _jsonl(tmp_path, _version_1(), "good.jsonl")
  parsed = eval_reward_bench.parse([*base, f"--data={good}"])
  assert parsed.asked is not None and len(parsed.asked.questions) == 10
  if rows is not None:
    base.append(f"--data={_jsonl(tmp_path, rows)}")
  with pytest.raises((ValueError, OSError), match=message):
    eval_reward_bench.parse([*base, *argv])
  assert not (tmp_path / "new").exists()


def _cut(found):
  """How many answers were cut, by the end of what is said of it."""
  return {
    rule.rpartition(": ")[2].rpartition(", and ")[2]: n
    for rule, n in found["counted"].items()
    if "--max-length" in rule
  }


def test_of_log_probabilities_the_prompt_gives_way_and_not_the_answer(
  tmp_path, folders
):
  rows = _version_1()
  long = "word 3 and then more of it, then word 4, "
  rows[3] |= {"prompt": long * 8}
  options = ["--scorer=logp", "--max-length=48"]
  found, records = _run(_jsonl(tmp_path, rows), folders / "policy", *options)
  assert _cut(found) == {"prompts lose their start": 2}
  rows[3]["prompt"] = "something else, " + rows[3]["prompt"]
  (tmp_path / "b").mkdir()
  data = _jsonl(tmp_path / "b", rows)
  _, again = _run(data, folders / "policy", *options)
  assert again[3] == pytest.approx(records[3], abs=1e-4)
  rows[3]["chosen"] = long * 8
  (tmp_path / "c").mkdir()
  data = _jsonl(tmp_path / "c", rows)
  found, _ = _run(data, folders / "policy", *options)
  assert _cut(found) == {"prompts lose their start": 2, "lose their end": 1}


def test_options_of_folders_and_of_files_are_not_mixed(
  tmp_path, folders, capsys
):
  assert _main(f"--model={folders / 'reward'}") == 1
  assert "name what it is run on with --data" in capsys.readouterr().err
  scores = _jsonl(tmp_path, [{"subset": "shp", "results": 1}], "s.jsonl")
  argv = ["--scorer=reward", "--max-length=9", "--average", "--data=x.jsonl"]
  assert _main(f"--model={scores}", *argv) == 1
  shown = capsys.readouterr().err
  assert "--data, --scorer, --max-length, --average: for a model's" in shown
  assert _main(f"--model={scores}") == 0
  (tmp_path / "r.json").write_text('{"shp": 0.5}')
  model = f"--model={folders / 'reward'}"
  assert _main(model, f"--data={tmp_path / 'r.json'}") == 1
  assert "holds results: name RewardBench's own rows" in capsys.readouterr().err
  data = _jsonl(tmp_path, _version_1())
  assert _main(model, f"--data={data}") == 1
  assert "does not say its chat template" in capsys.readouterr().err


def test_nothing_is_written_over_what_is_read(tmp_path, folders, capsys):
  data = _jsonl(tmp_path, _version_1(), "scores.jsonl")
  before = data.read_bytes()
  argv = [f"--model={folders / 'reward'}", f"--data={data}"]
  assert _main(*argv, "--template=plain", f"--out={tmp_path}") == 1
  assert "scores.jsonl would be written" in capsys.readouterr().err
  assert data.read_bytes() == before


@pytest.mark.parametrize("version", [1, 2])
def test_parquet_and_json_are_read_as_lines_are(tmp_path, version):
  rows = (_version_1, _version_2)[version - 1]()
  for row in rows:
    turns = ["word 1", "more", row["prompt"]]
    roles = ("user", "assistant", "user")
    row["prompt"] = [
      {"role": role, "content": text}
      for role, text in zip(roles, turns, strict=True)
    ]
  parquet, listed = tmp_path / "data.parquet", tmp_path / "data.json"
  pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), parquet)
  listed.write_text(json.dumps(rows))
  found = [
    [question._replace(where="") for question in questions]
    for number, questions in (
      eval_reward_bench_run.read_questions(path, None)
      for path in (_jsonl(tmp_path, rows), parquet, listed)
    )
    if number == version
  ]
  assert len(found) == 3 and found[0] == found[1] == found[2]
