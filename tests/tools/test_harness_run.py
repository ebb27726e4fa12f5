# SPDX-License-Identifier: Apache-2.0
"""Tasks that the harness itself runs: its figures are ours, its errors are named."""

import json
import re

import pytest
import tiny_exported

from ramjax.tools import eval as eval_command
from ramjax.tools import harness_tasks, loaded_model

_TASKS = "tiny_rolling,tiny_choices,tiny_writing,tiny_words"
_DOCUMENTS = [
  {
    "text": " ".join(["Hello there, how are you today?"] * (i % 4 * 5 + 1)),
    "question": f"What is {i} + {i}?",
    "choices": [str(2 * i), " the lazy dog", "it's two  spaces"],
    "label": i % 3,
    "answer": str(2 * i),
    "word": "you",
  }
  for i in range(10)
]
_YAML = """\
dataset_path: json
dataset_kwargs:
  data_files: {{test: "{data}"}}
  cache_dir: "{cache}"
test_split: test
fewshot_split: test
task: {task}
"""
_TASK_FILES = {
  "tiny_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
""",
  "tiny_choices": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: label
num_fewshot: 1
metric_list:
  - metric: acc
  - metric: acc_norm
""",
  "tiny_writing": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["a", "\\n\\n"], max_gen_toks: 12}
filter_list:
  - name: letters
    filter:
      - {function: regex, regex_pattern: "([a-z]+)"}
      - {function: take_first}
metric_list:
  - metric: exact_match
""",
  "tiny_words": """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{word}}"
metric_list:
  - metric: perplexity
  - metric: acc
""",
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tasks")
  data = folder / "documents.jsonl"
  data.write_text("".join(json.dumps(row) + "\n" for row in _DOCUMENTS))
  for task, text in _TASK_FILES.items():
    common = _YAML.format(data=data, cache=folder / "cache", task=task)
    (folder / f"{task}.yaml").write_text(common + text)
  return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
  root = tmp_path_factory.mktemp("exported")
  return tiny_exported.export(root, "llama3", max_positions=128)


def _theirs(hf, tasks, **settings):
  """What the harness finds with its own model."""
  import lm_eval
  from lm_eval.models import huggingface
  from lm_eval.tasks import TaskManager

  model = huggingface.HFLM(
    pretrained=str(hf), device="cpu", dtype="float32", batch_size=4
  )
  return lm_eval.simple_evaluate(
    model=model,
    tasks=_TASKS.split(","),
    task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
    bootstrap_iters=1_000,
    **settings,
  )


def _about(metrics, name):
  """What a figure of ours may be, given those of the harness.

  A standard error comes of differences of near-equal numbers: 66,355.7 where the
  perplexity is 6.72e7, and on another machine 66,362.8 with the same perplexity.
  What float32 rounds off is 1e-7 of that (7 of 6.72e7), and 1e-4 of the error.
  """
  value = metrics[name]
  if isinstance(value, str):
    return value
  metric, is_error, filter_name = name.partition("_stderr")
  rounded = 1e-6 * abs(metrics[metric + filter_name]) if is_error else None
  return pytest.approx(value, rel=1e-4, abs=rounded)


@pytest.mark.peers
@pytest.mark.parametrize(
  "options, settings",
  [
    ([], {}),
    (
      ["--apply-chat-template", "--system-instruction=Be brief."],
      {"apply_chat_template": True, "system_instruction": "Be brief."},
    ),
  ],
  ids=["text", "chat"],
)
def test_scores_are_those_of_the_harness(
  exported, tasks, tmp_path, monkeypatch, options, settings
):
  pytest.importorskip("lm_eval")
  torch = pytest.importorskip("torch")
  torch.set_num_threads(1)
  monkeypatch.setenv("DISABLE_MULTIPROC", "1")
  argv = [f"--tasks={_TASKS}", f"--include-path={tasks}", f"--model={exported}"]
  out = tmp_path / "out"
  argv += [f"--out={out}", "--log-samples", *options]
  assert eval_command.main(["harness", *argv]) == 0
  found = json.loads((out / "results.json").read_text())
  expected = _theirs(exported, tasks, **settings)
  assert found["results"].keys() == expected["results"].keys()
  for task, metrics in expected["results"].items():
    assert found["results"][task].keys() == metrics.keys()
    for name in metrics:
      ours = found["results"][task][name]
      assert ours == _about(metrics, name), (task, name)
  figures = json.loads((out / "evaluation.json").read_text())
  perplexity = expected["results"]["tiny_words"]["perplexity,none"]
  assert figures["figures"]["tiny_words perplexity"] == pytest.approx(
    perplexity, rel=1e-4
  )
  assert figures["figures"]["tiny_words perplexity, standard error"] >= 0
  assert "tiny_writing exact_match (letters)" in figures["figures"]
  assert str(tasks / "documents.jsonl") in figures["inputs"]
  _check_samples(out, expected["samples"], tmp_path)


def _check_samples(out, expected, tmp_path):
  """Documents, prompts and answers, written as the harness writes them."""
  from lm_eval.loggers import EvaluationTracker

  tracker = EvaluationTracker(output_path=str(tmp_path / "theirs.json"))
  tracker.date_id = "now"
  for task, rows in expected.items():
    tracker.save_results_samples(task, rows)
    (ours,) = out.glob(f"samples_{task}_*.jsonl")
    theirs = tmp_path / f"samples_{task}_now.jsonl"
    pairs = zip(
      ours.read_text().splitlines(),
      theirs.read_text().splitlines(),
      strict=True,
    )
    for line, their_line in pairs:
      row, their_row = json.loads(line), json.loads(their_line)
      assert row.keys() == their_row.keys()
      for key in ("doc", "arguments", "target", "doc_hash", "prompt_hash"):
        assert row[key] == their_row[key]
      if task == "tiny_writing":
        assert row["resps"] == their_row["resps"]


@pytest.mark.peers
def test_files_of_groups_and_functions_are_inputs(tasks, tmp_path):
  pytest.importorskip("lm_eval")
  for name in ("tiny_words", "tiny_writing"):
    text = (tasks / f"{name}.yaml").read_text()
    (tmp_path / f"{name}.yaml").write_text(f"{text}tag: mine_tag\n")
  (tmp_path / "base.yaml").write_text(
    "group: mine\ntask:\n  - task: mine_choices\n    num_fewshot: 0\n"
    "  - mine_tag\n"
  )
  text = (tasks / "tiny_choices.yaml").read_text()
  (tmp_path / "common").write_text(text)
  (tmp_path / "choices.yaml").write_text(
    "include: common\ntask: mine_choices\nprocess_docs: !function code.same\n"
  )
  (tmp_path / "code.py").write_text("def same(dataset):\n  return dataset\n")
  (tmp_path / "other.yaml").write_text(text.replace("tiny", "other"))
  found = harness_tasks.find_tasks(["mine"], tmp_path)
  assert sorted(path.name for path in found.files) == [
    *("base.yaml", "choices.yaml", "code.py", "common"),
    *("tiny_words.yaml", "tiny_writing.yaml"),
  ]


@pytest.mark.peers
@pytest.mark.parametrize(
  "change, message",
  [
    ('doc_to_text: "{{question"', "at task tiny_words .TemplateSyntaxError"),
    ("no_such_key: 1", "at task tiny_words .TypeError: "),
    ("doc_to_text: !function code.broken", "task tiny_words .TypeError: no"),
    ("process_docs: !function code.no", "task tiny_words .AttributeError: "),
  ],
)
def test_the_task_at_fault_is_named(
  exported, tasks, tmp_path, capsys, monkeypatch, change, message
):
  pytest.importorskip("lm_eval")
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  key = change.partition(":")[0]
  for name in ("tiny_choices", "tiny_words"):
    lines = (tasks / f"{name}.yaml").read_text().splitlines()
    if name == "tiny_words":
      lines = [line for line in lines if not line.startswith(key)] + [change]
    (tmp_path / f"{name}.yaml").write_text("\n".join(lines))
  (tmp_path / "code.py").write_text(
    "def broken(doc):\n  raise TypeError('no')\n"
  )
  argv = ["--tasks=tiny_choices,tiny_words", f"--include-path={tmp_path}"]
  argv.append(f"--model={exported}")
  assert eval_command.main(["harness", *argv]) == 1
  assert re.search(message, capsys.readouterr().err.splitlines()[-1])
