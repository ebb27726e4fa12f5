# SPDX-License-Identifier: Apache-2.0
"""A small MT-Bench, and the command on it, for tests."""

import json

import tiny_model_folder
from tiny_endpoint import answer, reply

from ramjax.tools import eval as eval_command

_QUESTIONS = [
  {"question_id": 81, "category": "writing", "turns": ["wa", "wb"]},
  {"question_id": 111, "category": "math", "turns": ["ma", "mb"]},
  {"question_id": 131, "category": "extraction", "turns": ["ea", "eb"]},
]
_TEMPLATES = {
  "single-v1": "grade {question}: {answer}",
  "single-v1-multi-turn": (
    "grade {question_1}: {answer_1} {question_2}: {answer_2}"
  ),
  "pair-v2": "compare {question}: {answer_a} | {answer_b}",
  "pair-v2-multi-turn": (
    "compare {question_1}{question_2}: {answer_a_1}, {answer_a_2} |"
    " {answer_b_1}, {answer_b_2}"
  ),
}


def jsonl(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def prompt_rows():
  for name, template in _TEMPLATES.items():
    single = name.startswith("single")
    row = {
      "type": "single" if single else "pairwise",
      "system_prompt": "You judge.",
      "output_format": "[[rating]]" if single else "[[A]]",
    }
    yield {"name": name, "prompt_template": template, **row}
    kind = "math-v1"
    math = name.replace("v1", kind) if single else name.replace("v2", kind)
    reference = "{ref_answer_1} "
    if "multi" in name:
      reference += "{ref_answer_2} "
    yield {"name": math, "prompt_template": reference + template, **row}


def answer_row(model, question_id, *turns):
  return {
    "question_id": question_id,
    "answer_id": "x",
    "model_id": model,
    "choices": [{"index": 0, "turns": list(turns)}],
    "tstamp": 1.0,
  }


def answer_file(path, model, ids=(81, 111, 131)):
  return jsonl(path, [answer_row(model, i, f"{i}.1", f"{i}.2") for i in ids])


class Bench:
  """The benchmark's files in a folder, and the command on them."""

  def __init__(self, folder):
    self.folder = folder
    self.out = folder / "out"
    self.questions = jsonl(folder / "question.jsonl", _QUESTIONS)
    self.prompts = jsonl(folder / "judge_prompts.jsonl", prompt_rows())
    self.references = jsonl(
      folder / "reference.jsonl", [answer_row("r", 111, "ref 1", "ref 2")]
    )

  def run(self, *more):
    # One of six verdicts of `grade` is none; canaries only where asked for.
    for option in ("--canaries=0", "--max-invalid=0.5"):
      name = option.partition("=")[0]
      if self._judges(more) and not any(name in str(word) for word in more):
        more = (*more, option)
    return eval_command.main(
      [
        "mt_bench",
        f"--questions={self.questions}",
        f"--judge-prompts={self.prompts}",
        f"--references={self.references}",
        f"--out={self.out}",
        *map(str, more),
      ]
    )

  @staticmethod
  def _judges(words):
    judges = [str(word) for word in words if str(word).startswith("--judge=")]
    return any(not judge.endswith(".jsonl") for judge in judges)

  def files(self):
    """Answers and judgments under --out."""
    return {
      str(path.relative_to(self.out)): path.read_text()
      for name in ("model_answer", "model_judgment")
      for path in sorted(self.out.glob(f"{name}/**/*.jsonl"))
    }


def local(model):
  return (f"--model={model}", *tiny_model_folder.ANSWERING)


def judge(server, concurrency=1):
  return (
    f"--judge={server.url}",
    "--judge-name=org/j",
    f"--judge-concurrency={concurrency}",
  )


def last(asked):
  return asked.body["messages"][-1]["content"]


def grade(number, asked):
  """A grade of its own for each question and turn, but none for ea."""
  shown = last(asked)
  if shown.startswith("grade ea") and "eb:" not in shown:
    return reply(answer("I cannot say."))
  names = ("wb:", "mb:", "eb:", "wa:", "ma:")
  score = next(i for i, name in enumerate(names, 1) if name in shown)
  return reply(answer(f"Good. Rating: [[{score}]]"))
