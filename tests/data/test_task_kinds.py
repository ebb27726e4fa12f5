# SPDX-License-Identifier: Apache-2.0
"""Each task kind: right references, bounds, and what its verifier accepts."""

import pytest

from ramjax.data import task_kinds, tasks, tasks_lexicon

ALL_KINDS = tuple(tasks.TASK_KINDS)

# By hand, for each kind: a prompt, the constraint it stands for, responses that
# are correct, and responses that a careless verifier would let through.
EXAMPLES = {
  "copy_words": (
    "Repeat these words: cat big river",
    {"answer": "cat big river"},
    ["cat big river", "  cat big river\n"],
    ["cat river big", "cat big river cat", "cat  big river", "Cat big river"],
  ),
  "reverse_words": (
    "Reverse the order of these words: cat big river",
    {"answer": "river big cat"},
    ["river big cat"],
    ["cat big river", "river big cat cat", "revir gib tac", "river, big, cat"],
  ),
  "sort_words": (
    "Alphabetize: dog cat bear",
    {"answer": "bear cat dog"},
    ["bear cat dog"],
    ["dog cat bear", "bear dog cat", "bear cat", "bear cat dog."],
  ),
  "pick_word": (
    "Which word comes last: dog cat bear",
    {"answer": "bear"},
    ["bear"],
    ["dog", "dog cat bear", "bears", "Bear"],
  ),
  "longest_word": (
    "Which word is the longest: dog horse bear",
    {"answer": "horse"},
    ["horse"],
    ["dog horse bear", "bear", "horse horse", "The longest is horse"],
  ),
  "count_words": (
    "Count how often you see cat: cat dog cat",
    {"answer": "2"},
    ["2", " 2 "],
    ["3", "two", "2.", "2 cats", "02", "\N{ARABIC-INDIC DIGIT TWO}"],
  ),
  "upper_case": (
    "Change to upper case: red fox",
    {"answer": "RED FOX"},
    ["RED FOX"],
    ["red fox", "Red Fox", "RED FOx", "FOX RED"],
  ),
  "replace_word": (
    "Replace dog with cup: red dog sun",
    {"answer": "red cup sun"},
    ["red cup sun"],
    ["red dog sun", "red cup", "cup red sun", "red cup dog sun"],
  ),
  "remove_word": (
    "Remove dog: red dog sun",
    {"answer": "red sun"},
    ["red sun"],
    ["red dog sun", "sun red", "red  sun", "dog"],
  ),
  "unique_words": (
    "Write each different word once, in order: cat dog cat bee",
    {"answer": "cat dog bee"},
    ["cat dog bee"],
    ["cat dog cat bee", "dog cat bee", "cat dog", "dog bee"],
  ),
  "has_word": (
    "Is cat in this list? Answer yes or no: dog cat",
    {"answer": "yes"},
    ["yes", "yes\n"],
    ["no", "yes or no", "Yes", "yes yes"],
  ),
  "arithmetic": (
    "What is 9 - 4?",
    {"answer": "5"},
    ["5"],
    ["13", "9 - 4 = 5", "5 5", "5.0", "-5"],
  ),
  "sort_numbers": (
    "Sort these numbers from small to large: 10 9 2",
    {"answer": "2 9 10"},
    ["2 9 10"],
    ["10 2 9", "10 9 2", "2 9", "2, 9, 10"],
  ),
  "pick_number": (
    "Which number is the largest: 7 30 12",
    {"answer": "30"},
    ["30"],
    ["7", "7 30 12", "30 30", "3 0"],
  ),
  "filter_numbers": (
    "Keep only the odd numbers: 7 8 3",
    {"answer": "7 3"},
    ["7 3"],
    ["8", "3 7", "7 8 3", "7", "73"],
  ),
  "next_number": (
    "What number comes next: 3 6 9",
    {"answer": "12"},
    ["12"],
    ["9", "3 6 9 12", "12 15", "15"],
  ),
  "name_category": (
    "Which of these is cat: food, animal or place",
    {"answer": "animal"},
    ["animal"],
    ["food", "food, animal or place", "an animal", "animals"],
  ),
  "list_members": (
    "List 2 animals other than cat. Use commas.",
    {"category": "animal", "count": 2, "exclude": ["cat"]},
    ["dog, bee", "bee, dog", " whale, ant\n"],
    [
      "dog, cat",
      "dog, dog",
      "dog",
      "dog, bee, fox",
      "dog bee",
      "dog, red",
      "dog, bee,",
      "Dog, bee",
    ],
  ),
  "format_list": (
    "Write these words as a JSON list: cat dog",
    {"style": "json", "items": ["cat", "dog"]},
    ['["cat", "dog"]', '["cat","dog"]', '[\n  "cat",\n  "dog"\n]\n'],
    [
      "['cat', 'dog']",
      '["dog", "cat"]',
      '["cat", "dog", ]',
      '["cat" "dog"]',
      '["cat ", "dog"]',
      '{"words": ["cat", "dog"]}',
      '["cat", "dog"] ["cat", "dog"]',
    ],
  ),
  "wrap_words": (
    "Put this in square brackets: red fox",
    {"answer": "[red fox]"},
    ["[red fox]"],
    ["red fox", "[red] [fox]", "(red fox)", "[ red fox ]", "[[red fox]]"],
  ),
  "short_sentence": (
    'Write a sentence of at most 6 words that contains "river".',
    {"max_words": 6, "must_contain": ["river"]},
    [
      "Ben sees the river.",
      "River, we love you!",
      "Isn't Ben's dog-house by-the river?",
      "The big old dog likes river.",
    ],
    [
      "The big old dog likes the river.",
      "River.",
      "River river river.",
      "ben sees the river.",
      "Ben sees the river",
      "Ben sees the rivers.",
      "Ben  sees the river.",
      "Ben sees. The river.",
      "Ben sees the river..",
      "Ben sees the river,.",
      "Ben sees the river\N{FULLWIDTH FULL STOP}",
      "Ben sees\nthe river.",
    ],
  ),
  "exact_words": (
    'Use "river" in a sentence that has 4 words.',
    {"num_words": 4, "must_contain": ["river"]},
    ["Ben sees the river.", "Is that your river?"],
    [
      "Ben sees the old river.",
      "A cold river.",
      "Ben sees the lake.",
      "ben sees the river",
    ],
  ),
  "sentence_ending": (
    'Write a sentence with "cat" and "hat" that ends with an exclamation mark.',
    {"ending": "!", "must_contain": ["cat", "hat"]},
    ["The cat has a hat!", "Hat, meet the cat!"],
    [
      "The cat has a hat.",
      "The cat has a coat!",
      "The cat has a hat!!",
      "! The cat has a hat",
      "!",
    ],
  ),
  "sentence_start": (
    'Use "cat" in a sentence. Its first letter must be "B".',
    {"first_letter": "B", "must_contain": ["cat"]},
    ["Ben sees the cat.", "Big cats chase a cat!"],
    [
      "Anna sees Ben and the cat.",
      "ben sees the cat.",
      "B cat.",
      "Ben sees it.",
    ],
  ),
}

HOSTILE = (
  "",
  " \t\n",
  "\x00",
  "\ud800",
  "\N{ZERO WIDTH SPACE}",
  "\N{RIGHT-TO-LEFT OVERRIDE}seY",
  "[" * 100_000,
  "A" * 1_000_000,
  "A" + "-a" * 500_000,
  "A" + ", a" * 300_000,
  "[" + " " * 1_000_000,
  '["cat"' + " " * 1_000_000 + "]",
)


def _generate(kind, num_tasks=60, seed=0):
  return tasks.generate_tasks(num_tasks=num_tasks, seed=seed, kinds=[kind])


def _verify(task, response):
  return tasks.verify_response(tasks.task_record(task)["task"], response)


def test_every_kind_has_a_hand_checked_example():
  assert set(EXAMPLES) == set(ALL_KINDS)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_hand_checked_verdicts(kind):
  prompt, constraint, right, wrong = EXAMPLES[kind]
  task = {"kind": kind, "constraint": constraint}
  for response in right:
    assert tasks.verify_response(task, response), response
  assert len(wrong) >= 2
  for response in [*wrong, prompt]:
    assert not tasks.verify_response(task, response), response


@pytest.mark.parametrize(
  ("style", "right", "wrong"),
  [
    ("bullets", "- cat\n- dog", ["- cat - dog", "* cat\n* dog", "cat\ndog"]),
    ("numbers", "1. cat\n2. dog", ["1. cat\n1. dog", "1) cat\n2) dog"]),
    ("commas", "cat, dog", ["cat,dog", "cat, dog,", "cat dog", "dog, cat"]),
  ],
)
def test_hand_checked_list_styles(style, right, wrong):
  constraint = {"style": style, "items": ["cat", "dog"]}
  task = {"kind": "format_list", "constraint": constraint}
  assert tasks.verify_response(task, right)
  for response in wrong:
    assert not tasks.verify_response(task, response), response


@pytest.mark.parametrize("seed", [0, 1, -1, 2**70])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_reference_is_correct_and_its_near_misses_are_not(kind, seed):
  for task in _generate(kind, seed=seed):
    good = task.response
    assert task.kind == kind
    assert _verify(task, good)
    assert _verify(task, f"\n {good}\t ")
    halves = good.split(" ", 1)
    wrong = [
      task.prompt,
      f"{task.prompt} {good}",
      f"{good} cat",
      f"{good}.",
      f"x {good}",
      f"{good} {good}",
      f"{good}\n{good}",
      good[:-1],
      "cat " + good,
    ]
    # JSON may have more space between its strings.
    if len(halves) > 1 and task.constraint.get("style") != "json":
      wrong.append("  ".join(halves))
    for response in wrong:
      assert not _verify(task, response), (task.prompt, response)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_constraint_of_an_open_task_is_in_its_prompt(kind):
  marks = {"!": "exclamation", "?": "question"}
  for task in _generate(kind):
    for name, value in task.constraint.items():
      if name in ("answer", "style"):
        continue
      for fact in value if isinstance(value, list) else [value]:
        assert str(marks.get(fact, fact)) in task.prompt


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_lengths_stay_inside_the_stated_bounds(kind):
  for task in _generate(kind, num_tasks=300):
    assert len(task.prompt.split()) <= task_kinds.MAX_PROMPT_WORDS
    assert 1 <= len(task.response.split()) <= task_kinds.MAX_RESPONSE_WORDS
    assert task.prompt == task.prompt.strip() and task.prompt.isascii()
    assert task.response == task.response.strip()


@pytest.mark.parametrize(
  ("kind", "lengths"),
  [
    ("copy_words", {2, 3, 4, 5, 6}),
    ("reverse_words", {2, 3, 4, 5}),
    ("sort_words", {3, 4, 5}),
    ("sort_numbers", {3, 4, 5}),
  ],
)
def test_lists_are_as_long_as_the_summary_says(kind, lengths):
  generated = _generate(kind, num_tasks=300)
  assert {len(task.response.split()) for task in generated} == lengths
  summary = tasks.TASK_KINDS[kind].summary
  assert f"{min(lengths)}-{max(lengths)}" in summary


@pytest.mark.parametrize("kind", ["arithmetic", "next_number"])
def test_no_number_is_negative(kind):
  for task in _generate(kind, num_tasks=2000):
    assert int(task.response) >= 0


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_hostile_text_is_refused_without_raising(kind):
  task = {"kind": kind, "constraint": EXAMPLES[kind][1]}
  for response in HOSTILE:
    assert not tasks.verify_response(task, response)


def test_empty_response_is_wrong_even_if_the_answer_is_empty():
  for response in ("", " "):
    task = {"kind": "copy_words", "constraint": {"answer": ""}}
    assert not tasks.verify_response(task, response)


def test_lexicon_words_are_lower_case_and_in_one_list_only():
  words = tasks_lexicon.LIST_WORDS + tasks_lexicon.VERBS + tasks_lexicon.NAMES
  assert len(set(words)) == len(words)
  lower = tasks_lexicon.LIST_WORDS + tasks_lexicon.VERBS
  assert all(word.isascii() and word.islower() for word in lower)


@pytest.mark.parametrize(
  ("task", "message"),
  [
    ({}, "must have a string 'kind'"),
    ({"kind": 3, "constraint": {}}, "must have a string 'kind'"),
    ({"kind": "copy_words"}, "mapping 'constraint'"),
    ({"kind": "nope", "constraint": {}}, "'nope' is not a task kind"),
    (
      {"kind": "copy_words", "constraint": {}},
      "'answer'.* must be of type str",
    ),
    (
      {"kind": "exact_words", "constraint": {"num_words": "4"}},
      "'num_words'.* must be of type int",
    ),
    (
      {
        "kind": "sentence_start",
        "constraint": {"first_letter": "B", "must_contain": []},
      },
      "non-empty list of strings",
    ),
    (
      {"kind": "format_list", "constraint": {"style": "x", "items": ["a"]}},
      "'style'.* must be one of",
    ),
    (
      {
        "kind": "list_members",
        "constraint": {"category": "x", "count": 1, "exclude": ["a"]},
      },
      "'category'.* must be one of",
    ),
  ],
)
def test_incomplete_task_is_refused(task, message):
  with pytest.raises(ValueError, match=message):
    tasks.verify_response(task, "Ben sees the cat.")
