# SPDX-License-Identifier: Apache-2.0
"""What MT-Bench's judge is shown, from templates of our own and official ones."""

import dataclasses
import pathlib

import pytest

from ramjax.data.rows import Message
from ramjax.evals import mt_bench_files, mt_bench_prompts
from ramjax.evals.mt_bench_files import JudgePrompt, ModelAnswer, Question

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"

_REFERENCE_1 = "R {ref_answer_1} "
_REFERENCE_2 = "R {ref_answer_1} {ref_answer_2} "
_SINGLE_1 = "Q {question} A {answer}"
_SINGLE_2 = "Q {question_1} A {answer_1} Q {question_2} A {answer_2}"
_PAIR_1 = "Q {question} A {answer_a} B {answer_b}"
_PAIR_2 = (
  "Q {question_1} {question_2} A {answer_a_1} {answer_a_2}"
  " B {answer_b_1} {answer_b_2}"
)
_TEMPLATES = {
  "single-v1": _SINGLE_1,
  "single-math-v1": _REFERENCE_1 + _SINGLE_1,
  "single-v1-multi-turn": _SINGLE_2,
  "single-math-v1-multi-turn": _REFERENCE_2 + _SINGLE_2,
  "pair-v2": _PAIR_1,
  "pair-math-v1": _REFERENCE_1 + _PAIR_1,
  "pair-v2-multi-turn": _PAIR_2,
  "pair-math-v1-multi-turn": _REFERENCE_2 + _PAIR_2,
}
_OFFICIAL_CATEGORIES = (
  *("writing", "roleplay", "reasoning", "math"),
  *("coding", "extraction", "stem", "humanities"),
)


def _prompt(name, template):
  pair = name.startswith("pair")
  return JudgePrompt(
    name=name,
    type="pairwise" if pair else "single",
    system_prompt=f"system of {name}",
    prompt_template=template,
    output_format="[[A]]" if pair else "[[rating]]",
    where="prompts.jsonl:1",
  )


_PROMPTS = {name: _prompt(name, text) for name, text in _TEMPLATES.items()}


def _question(category="writing", turns=("q1", "q2")):
  return Question(
    question_id=7, category=category, turns=turns, reference=None, where="q:1"
  )


def _answer(*turns, question_id=7):
  return ModelAnswer(
    question_id=question_id,
    answer_id="x",
    model_id="m",
    turns=turns,
    tstamp=None,
    where="a:1",
  )


_REFERENCE = _answer("r1", "r2")


def _single(template, answer, question=None):
  prompts = {"single-v1": _prompt("single-v1", template)}
  _, user = mt_bench_prompts.single_messages(
    prompts, question or _question(), _answer(answer), turn=1
  )
  return user.content


@pytest.mark.parametrize(
  "category,turn,name,text",
  [
    ("writing", 1, "single-v1", "Q q1 A a1"),
    ("writing", 2, "single-v1-multi-turn", "Q q1 A a1 Q q2 A a2"),
    ("math", 1, "single-math-v1", "R r1 Q q1 A a1"),
    ("coding", 2, "single-math-v1-multi-turn", "R r1 r2 Q q1 A a1 Q q2 A a2"),
  ],
)
def test_a_grade_is_asked_for_with_the_prompt_of_its_kind(
  category, turn, name, text
):
  assert mt_bench_prompts.prompt_name("single", category, turn) == name
  messages = mt_bench_prompts.single_messages(
    _PROMPTS,
    _question(category),
    _answer("a1", "a2"),
    turn=turn,
    reference=_REFERENCE,
  )
  assert messages == (
    Message("system", f"system of {name}"),
    Message("user", text),
  )


@pytest.mark.parametrize(
  "category,turn,name,text",
  [
    ("stem", 1, "pair-v2", "Q q1 A a1 B b1"),
    ("stem", 2, "pair-v2-multi-turn", "Q q1 q2 A a1 a2 B b1 b2"),
    ("reasoning", 1, "pair-math-v1", "R r1 Q q1 A a1 B b1"),
    ("math", 2, "pair-math-v1-multi-turn", "R r1 r2 Q q1 q2 A a1 a2 B b1 b2"),
  ],
)
def test_a_comparison_is_asked_for_with_the_prompt_of_its_kind(
  category, turn, name, text
):
  assert mt_bench_prompts.prompt_name("pair", category, turn) == name
  messages = mt_bench_prompts.pair_messages(
    _PROMPTS,
    _question(category),
    _answer("a1", "a2"),
    _answer("b1", "b2"),
    turn=turn,
    reference=_REFERENCE,
  )
  assert messages == (
    Message("system", f"system of {name}"),
    Message("user", text),
  )


@pytest.mark.parametrize(
  "answer", ["{question}", "{answer}", "{{x}}", "{", "}", "{0}", "{answer!r}"]
)
def test_what_looks_like_a_slot_in_an_answer_is_data(answer):
  question = _question(turns=("{answer} {question}",))
  assert _single("Q {question} A {answer}", answer, question) == (
    "Q {answer} {question} A " + answer
  )


@pytest.mark.parametrize(
  "template",
  [
    "{answer}",
    "{answer}{answer}",
    "{{{answer}}}",
    '{{"rating": 5}} {answer}',
    "{{answer}} {answer}",
    "a }} b {{ {answer}",
  ],
)
def test_a_template_is_filled_as_the_authors_tool_fills_it(template):
  assert _single(template, "x{y}") == template.format(answer="x{y}")


@pytest.mark.parametrize(
  "template,text",
  [
    ("{ {answer}", "{ x"),
    ("{answer} }", "x }"),
    ("f() { return {}; } {answer}", "f() { return {}; } x"),
    ('{"a": {"b": 1}} {answer}', '{"a": {"b": 1}} x'),
    ("{other} {answer}", "{other} x"),
    ("{answer!r} {answer:>9} {answer}", "{answer!r} {answer:>9} x"),
    ("{answer.where} {answer}", "{answer.where} x"),
  ],
)
def test_stray_braces_of_a_template_stay(template, text):
  assert _single(template, "x") == text


@pytest.mark.parametrize(
  "template,message",
  [
    ("Q {question}", r"has no slot \{answer\}"),
    ("{answer} {answer_1}", r"has the slot \{answer_1\}"),
    ("{answer} {ref_answer_1}", r"has the slot \{ref_answer_1\}"),
    ("{ {answer} {answer_a}", r"has the slot \{answer_a\}"),
  ],
)
def test_a_template_of_another_kind_is_refused(template, message):
  with pytest.raises(ValueError, match=r"prompts.jsonl:1: .*" + message):
    _single(template, "x")


def test_a_reference_prompt_that_does_not_show_the_reference_is_refused():
  name = "single-math-v1-multi-turn"
  prompts = {name: _prompt(name, _REFERENCE_1 + _SINGLE_2)}
  with pytest.raises(ValueError, match=r"has no slot \{ref_answer_2\}"):
    mt_bench_prompts.single_messages(
      prompts,
      _question("math"),
      _answer("a1", "a2"),
      turn=2,
      reference=_REFERENCE,
    )


@pytest.mark.parametrize(
  "change,message",
  [
    ({"reference": None}, "beside a reference answer, and there is none"),
    ({"answer": _answer("a1")}, "a:1: the answer has 1 turns, and turn 2"),
    ({"reference": _answer("r1")}, "a:1: the reference answer has 1 turns"),
    ({"question": _question("math", ("q1",))}, "q:1: the question has 1 turns"),
    (
      {"answer": _answer("a", "b", question_id=8)},
      "the answer is on question 8, not on 7",
    ),
    (
      {"reference": _answer("a", "b", question_id=8)},
      "the reference answer is on question 8, not on 7",
    ),
    ({"turn": 3}, "turn=3 must be 1 or 2"),
    ({"prompts": {}}, "no judge prompt 'single-math-v1-multi-turn'"),
  ],
)
def test_what_does_not_belong_together_is_refused(change, message):
  given = {
    "prompts": _PROMPTS,
    "question": _question("math"),
    "answer": _answer("a1", "a2"),
    "turn": 2,
    "reference": _REFERENCE,
    **change,
  }
  with pytest.raises(ValueError, match=message):
    mt_bench_prompts.single_messages(**given)


def test_a_prompt_of_the_other_type_is_refused():
  wrong = dataclasses.replace(_PROMPTS["single-v1"], type="pairwise")
  with pytest.raises(ValueError, match="'single-v1' of type 'single'"):
    mt_bench_prompts.single_messages(
      {"single-v1": wrong}, _question(), _answer("a"), turn=1
    )


def test_the_temperature_depends_on_the_category():
  greedy = {
    category
    for category in _OFFICIAL_CATEGORIES
    if mt_bench_prompts.temperature(category) == 0
  }
  assert greedy == {"extraction", "math", "coding", "reasoning"}
  assert mt_bench_prompts.temperature("writing") == 0.7
  assert mt_bench_prompts.temperature("stem") == 0.1
  assert mt_bench_prompts.temperature("another") == 0.7


@pytest.mark.parametrize("category", _OFFICIAL_CATEGORIES)
@pytest.mark.parametrize("turn", [1, 2])
def test_every_official_prompt_is_filled_as_str_format_does(category, turn):
  if not _DATA.is_dir():
    pytest.skip("the MT-Bench files are not here")
  prompts = mt_bench_files.read_prompts(_DATA / "judge_prompts.jsonl")
  questions = mt_bench_files.read_questions(_DATA / "question.jsonl")
  references = mt_bench_files.read_answers(
    _DATA / "reference_answer/gpt-4.jsonl"
  )
  answers, others = (
    mt_bench_files.read_answers(path)
    for path in sorted((_DATA / "model_answer").iterdir())
  )
  of_category = [q for q in questions.values() if q.category == category]
  assert len(of_category) == 10
  for question in of_category:
    a, b = answers[question.question_id], others[question.question_id]
    reference = references.get(question.question_id)
    assert (reference is not None) == (
      category in mt_bench_prompts.NEED_REFERENCE
    )
    single = mt_bench_prompts.single_messages(
      prompts, question, a, turn=turn, reference=reference
    )
    pair = mt_bench_prompts.pair_messages(
      prompts, question, a, b, turn=turn, reference=reference
    )
    values = {"question": question.turns[0], "answer": a.turns[0]}
    values |= {"answer_a": a.turns[0], "answer_b": b.turns[0]}
    for i in (0, 1):
      values[f"question_{i + 1}"] = question.turns[i]
      values[f"answer_{i + 1}"] = values[f"answer_a_{i + 1}"] = a.turns[i]
      values[f"answer_b_{i + 1}"] = b.turns[i]
      if reference is not None:
        values[f"ref_answer_{i + 1}"] = reference.turns[i]
    for mode, messages in (("single", single), ("pair", pair)):
      prompt = prompts[mt_bench_prompts.prompt_name(mode, category, turn)]
      assert messages == (
        Message("system", prompt.system_prompt),
        Message("user", prompt.prompt_template.format(**values)),
      )
