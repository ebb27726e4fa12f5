# SPDX-License-Identifier: Apache-2.0
"""A model as the harness asks it: by hand, and against the harness's own."""

import dataclasses
import io
import math
import sys
import types
from typing import Any

import jax
import numpy as np
import pytest
import tiny_exported

from ramjax.data import jinja_templates, train_tokenizer
from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals import continuations
from ramjax.evals.continuations import ContinuationLogp, TokenPair
from ramjax.evals.harness_model import HarnessModel, harness_lm
from ramjax.evals.pair_encoding import encode_pair
from ramjax.models import sampler
from ramjax.models.sampler import Sample
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import eval_harness, loaded_model, local_model

_CHAT = [
  {"role": "system", "content": "Be brief."},
  {"role": "user", "content": "word 3 and"},
  {"role": "assistant", "content": "more"},
  {"role": "user", "content": "word 5 "},
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("harness") / "tokenizer.model"
  texts = [f"word {i} and {i * 7 % 97}, then more of it" for i in range(200)]
  train_tokenizer.train_sentencepiece(texts, path=path, vocab_size=300)
  return load_tokenizer(path)


class _Asked:
  """Keeps what is asked; scores are minus the ids' sum, answers are given."""

  def __init__(self, answers=()):
    self.pairs: list[TokenPair] = []
    self.requests: list[sampler.Request] = []
    self._answers = list(answers)

  def score(self, pairs):
    self.pairs += pairs
    return [
      ContinuationLogp(
        -float(sum(p.continuation)), len(p.continuation), False, len(p[0]) > 20
      )
      for p in pairs
    ]

  def sample(self, requests):
    self.requests += requests
    return [
      Sample(np.array(ids, np.int32), np.zeros(0), np.zeros(0), True)
      for ids in self._answers
    ]


def _model(tokenizer, answers=(), **settings):
  asked = _Asked(answers)
  settings = {"max_length": 16, "stop_tokens": [tokenizer.eos_id]} | settings
  model = HarnessModel(
    tokenizer, score=asked.score, sample=asked.sample, **settings
  )
  return model, asked


def _requests(*args) -> Any:
  return [types.SimpleNamespace(args=a, task_name="mine") for a in args]


def test_pairs_are_scored_in_their_order(tokenizer):
  model, asked = _model(tokenizer)
  args = [("word 3", " and more"), ("word", " 1"), ("", "then")]
  found = model.loglikelihood(_requests(*args))
  assert asked.pairs == [encode_pair(*a, tokenizer=tokenizer) for a in args]
  assert found == [(-sum(p.continuation), False) for p in asked.pairs]


def test_bos_that_is_spelled_is_not_doubled(tokenizer):
  model, asked = _model(tokenizer)
  spelled = [("<s>word 3", " and"), ("<s>", "word"), ("", "<s>word")]
  model.loglikelihood(_requests(*spelled))
  plain = [("word 3", " and"), ("", "word"), ("", "word")]
  assert asked.pairs == [encode_pair(*a, tokenizer=tokenizer) for a in plain]


def test_a_special_token_may_be_spelled_anywhere(tokenizer):
  model, asked = _model(tokenizer)
  model.loglikelihood(_requests(("word</s>", "then</s>")))
  (pair,) = asked.pairs
  bos, eos = tokenizer.bos_id, tokenizer.eos_id
  word, then = (tokenizer.encode(t, at_start=False) for t in ("word", "then"))
  assert pair == ([bos, *word, eos], [*then, eos])


def test_a_continuation_without_text_is_refused(tokenizer):
  model, _ = _model(tokenizer)
  with pytest.raises(ValueError, match="nothing follows the context 'word'"):
    model.loglikelihood(_requests(("word", "")))


def test_bos_is_predicted_and_so_is_each_token_once(tokenizer):
  model, asked = _model(tokenizer, max_length=4)
  texts = ["word 3 and then more of it", "", "<s>word"]
  found = model.loglikelihood_rolling(_requests(*((t,) for t in texts)))
  bos = tokenizer.bos_id
  bodies = [
    tokenizer.encode(t.removeprefix("<s>"), at_start=True) for t in texts
  ]
  wholes = [[bos, *body] for body in bodies]
  assert len(wholes[0]) > 8
  predicted = [i for pair in asked.pairs for i in pair.continuation]
  assert predicted == [i for whole in wholes for i in whole]
  assert asked.pairs[0].context == [bos]
  assert found == [-sum(whole) for whole in wholes]


def test_a_text_that_is_cut_is_counted_and_a_window_is_not(tokenizer):
  model, _ = _model(tokenizer, answers=[[1], [1]])
  long = "word 3 and then more of it, " * 4
  model.loglikelihood_rolling(_requests((long,)))
  assert model.num_truncated == 0
  model.loglikelihood(_requests((long, "x"), ("a", "b"), (long, "y")))
  assert model.num_truncated == 2
  model.generate_until(
    _requests(*((t, {"max_gen_toks": 4}) for t in (long, "")))
  )
  assert model.num_truncated == 3


def test_a_prompt_keeps_its_right_end(tokenizer):
  model, asked = _model(tokenizer, answers=[[5], [5], [5]])
  long = "word 3 and then more of it, " * 4
  kwargs = {
    "max_new_tokens": 5,
    "temperature": 0.5,
    "do_sample": True,
    "top_p": 0.9,
  }
  model.generate_until(
    _requests(
      (long, kwargs), ("", {"max_tokens": 15}), ("</s>", {"max_tokens": 1})
    )
  )
  first, second, third = asked.requests
  bos, eos = tokenizer.bos_id, tokenizer.eos_id
  whole = [bos, *tokenizer.encode(long, at_start=True)]
  assert first.prompt.tolist() == whole[-11:]
  assert second.prompt.tolist() == [bos]
  assert third.prompt.tolist() == [bos, eos]
  options = dataclasses.asdict(first.options)
  assert (options["max_tokens"], options["temperature"]) == (5, 0.5)
  assert options["top_p"] == 0.9 and options["stop_tokens"] == (eos,)
  assert second.options.temperature == 0
  assert len({request.seed for request in asked.requests}) == 3


def test_an_answer_ends_before_the_first_text_that_ends_it(tokenizer):
  texts = ["and then 12 more", "and\n\nthen", "more</s>", " 7"]
  ids = [tokenizer.encode(text, at_start=False) for text in texts]
  ids[3] = [*ids[3], tokenizer.eos_id]
  model, asked = _model(tokenizer, answers=ids)
  wanted = [
    {"until": ["more", "then 12"]},
    {"until": "\n\n"},
    {},
    {"until": None},
  ]
  found = model.generate_until(
    _requests(*(("word", kwargs | {"max_gen_toks": 8}) for kwargs in wanted))
  )
  assert found == ["and ", "and", "more", " 7"]
  cuts = [r.cut(np.array(i)) for r, i in zip(asked.requests, ids, strict=True)]
  assert cuts[0] is not None and 1 < cuts[0] < len(ids[0])
  assert cuts[2] == len(ids[2])  # The name of EOS, letter by letter.
  assert cuts[3] == len(ids[3])  # Its id.


def test_a_special_token_that_a_task_names_ends_a_text(tokenizer):
  bos = tokenizer.bos_id
  ids = [*tokenizer.encode("and", at_start=False), bos, bos]
  model, asked = _model(tokenizer, answers=[ids, ids])
  ends = [{"until": [end], "max_gen_toks": 8} for end in ("<s>", "<t>")]
  assert (
    model.generate_until(_requests(*(("a", k) for k in ends))) == ["and"] * 2
  )
  cuts = [request.cut(np.array(ids)) for request in asked.requests]
  assert cuts == [len(ids) - 1, None]


@pytest.mark.parametrize(
  "kwargs, message",
  [
    ({"max_gen_toks": 16}, "'mine' asks for max_gen_toks=16.*reads 16 at a ti"),
    ({"num_beams": 4}, "'mine': generation_kwargs has num_beams=4"),
  ],
)
def test_what_cannot_be_generated_is_refused_with_its_task(
  tokenizer, kwargs, message
):
  model, asked = _model(tokenizer)
  with pytest.raises(ValueError, match=message):
    model.generate_until(_requests(("word", kwargs)))
  assert not asked.requests


def test_a_conversation_is_one_text(tokenizer):
  model, _ = _model(tokenizer, template="plain")
  text = model.apply_chat_template(_CHAT)
  assert text == (
    "<s>System: Be brief.\nUser: word 3 and\nAssistant: more</s>\nUser: word 5"
    " \nAssistant:"
  )
  closed = model.apply_chat_template(_CHAT, add_generation_prompt=False)
  assert text == closed + "Assistant:"
  begun = [*_CHAT, {"role": "assistant", "content": "It is"}]
  found = model.apply_chat_template(begun, add_generation_prompt=False)
  assert found == text + " It is"
  assert model.chat_template(True) == jinja_templates.jinja_template("plain")
  assert model.chat_template("plain") == model.chat_template(True)
  assert model.chat_template(False) is None
  assert model.tokenizer_name.endswith("-plain")


def test_no_template_or_another_is_refused(tokenizer):
  model, _ = _model(tokenizer)
  with pytest.raises(ValueError, match="no chat template was named"):
    model.apply_chat_template(_CHAT)
  model, _ = _model(tokenizer, template="plain")
  with pytest.raises(ValueError, match="'tool_use': the model's is 'plain'"):
    model.chat_template("tool_use")


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def test_the_bar_is_for_a_terminal(tokenizer, monkeypatch):
  for stream, shown in ((io.StringIO(), False), (_Terminal(), True)):
    monkeypatch.setattr(sys, "stderr", stream)
    model, _ = _model(tokenizer)
    model.loglikelihood(_requests(("a", "b")))
    assert ("1/1" in stream.getvalue()) == shown


def test_without_the_harness_the_import_says_so(tokenizer, monkeypatch):
  monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
  with pytest.raises(ImportError, match="lm_eval"):
    harness_lm(tokenizer)


# From here on against the harness's own model, on what we export.


@pytest.fixture(scope="module", params=tiny_exported.KINDS)
def exported(request, tmp_path_factory):
  """A run of ours as a Hugging Face folder, and its chat template."""
  root = tmp_path_factory.mktemp("exported")
  kind = request.param
  return tiny_exported.export(root, kind), tiny_exported.KINDS[kind]


@pytest.fixture(scope="module")
def both(exported):
  """The exported folder as the harness's model, and as ours."""
  pytest.importorskip("lm_eval")
  torch = pytest.importorskip("torch")
  torch.set_num_threads(1)
  return _both(*exported)


def _both(hf, template):
  from lm_eval.models import huggingface

  theirs = huggingface.HFLM(
    pretrained=str(hf), device="cpu", dtype="float32", batch_size=4
  )
  model = loaded_model.load(hf)
  opened = local_model.open_local(hf)
  opened.source.close()

  def score(pairs):
    with jax.set_mesh(model.mesh):
      return continuations.continuation_logps(
        model.params,
        model.config,
        pairs,
        batch_size=3,
        max_length=model.config.max_positions,
      )

  def sample(requests):
    with jax.set_mesh(model.mesh):
      return sampler.sample(
        model.params,
        model.config,
        requests,
        num_slots=3,
        vocab_size=model.tokenizer.vocab_size,
      )

  ours = harness_lm(
    model.tokenizer,
    score=score,
    sample=sample,
    max_length=model.config.max_positions,
    stop_tokens=eval_harness.stop_tokens(opened),
    template=template,
  )
  return ours, theirs


def _instances(kind, *args):
  from lm_eval.api.instance import Instance

  return [
    Instance(
      request_type=kind,
      doc={},
      arguments=a,
      idx=0,
      metadata=("mine", i, 1),
    )
    for i, a in enumerate(args)
  ]


@pytest.mark.peers
def test_likelihoods_are_those_of_the_harness(both):
  ours, theirs = both
  end = ours._spelled.name(ours.eot_token_id)
  start = ours._spelled.name(ours._tokenizer.bos_id)
  long = "Hello there, how are you today? " * 20
  contexts = [f"{i} times" for i in range(30)]
  greedy = theirs.generate_until(
    _instances("generate_until", *((c, {"max_gen_toks": 1}) for c in contexts))
  )
  pairs = [
    ("", "Hello there"),
    ("", " Hello"),
    (" ", "Hello"),
    (" \n ", " x = 3"),
    ("Hello there,", " how are you"),
    ("Hello there, ", "how are you"),
    ("Hello there, \n\n", "  two  spaces"),
    (long, "today?"),
    (long, "the dog " * 6),
    *((c, text) for c, text in zip(contexts, greedy, strict=True) if text),
    *((c, " " + text) for c, text in zip(contexts, greedy, strict=True)),
    ("one", f" two{end}"),
    (f"{start}one", " two"),
    ("", f"{start}one"),
    (f"{start}one{end}{start}two ", "three"),
    (f"one{end}", f"{end}{end}"),
    ("é 漢", "字 😀"),
    *(("Answer:", f" {letter}") for letter in "ABCDEFGHIJKL"),
  ]
  found = ours.loglikelihood(_instances("loglikelihood", *pairs))
  expected = theirs.loglikelihood(_instances("loglikelihood", *pairs))
  np.testing.assert_allclose(
    [logp for logp, _ in found], [logp for logp, _ in expected], atol=1e-4
  )
  flags = [is_greedy for _, is_greedy in expected]
  assert [is_greedy for _, is_greedy in found] == flags
  assert any(flags) and not all(flags)
  assert ours.num_truncated >= 2


@pytest.mark.peers
def test_rolling_likelihoods_are_those_of_the_harness(both):
  ours, theirs = both
  long = "Hello there, how are you today? " * 20
  texts = [("Hello",), (long,), (" \n",), ("",), ("é 漢字 😀 x  y",)]
  found = ours.loglikelihood_rolling(_instances("rolling", *texts))
  expected = theirs.loglikelihood_rolling(_instances("rolling", *texts))
  np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-6)
  assert all(math.isfinite(logp) and logp < 0 for logp in found)


@pytest.mark.peers
def test_texts_are_those_of_the_harness(both):
  ours, theirs = both
  long = "Hello there, how are you today? " * 20
  contexts = ["User: What", "", long, "The quick ", "x  =\n", "é"]
  free = {"max_gen_toks": 24, "until": []}
  whole = theirs.generate_until(
    _instances("generate_until", *((c, dict(free)) for c in contexts))
  )
  assert "".join(whole).isascii() and all(len(text) > 3 for text in whole)
  # Ends that are met: over several tokens, and inside one.
  ends = [text[len(text) // 3 :][:4] for text in whole]
  asked = [(c, dict(free)) for c in contexts]
  asked += [
    (c, {"max_tokens": 24, "until": [e, "never"], "do_sample": False})
    for c, e in zip(contexts, ends, strict=True)
  ]
  asked += [
    (c, {"max_new_tokens": 20, "until": e[:2], "temperature": 0.0})
    for c, e in zip(contexts, ends, strict=True)
  ]
  asked += [(contexts[0], {"max_completion_tokens": 5, "until": "z"})]
  asked += [
    (contexts[0], {"max_gen_toks": 5, "do_sample": False, "temperature": 0.7})
  ]
  found = ours.generate_until(_instances("generate_until", *asked))
  expected = theirs.generate_until(_instances("generate_until", *asked))
  assert found == expected
  assert any(a != b for a, b in zip(found[:6], found[6:12], strict=True)), (
    "no end was met"
  )


@pytest.mark.peers
def test_texts_end_at_special_tokens_as_those_of_the_harness(tmp_path):
  pytest.importorskip("lm_eval")
  pytest.importorskip("torch").set_num_threads(1)
  from safetensors import numpy as files

  hf = tiny_exported.export(tmp_path, "llama3")
  tokenizer = load_tokenizer(hf)
  (path,) = hf.glob("*.safetensors")
  arrays = files.load_file(path)
  contexts = ["User: What", "The quick ", "x  =\n"]
  names = ("<|start_header_id|>", "<|end_header_id|>")
  request = sampler.Request(
    prompt=np.array([tokenizer.bos_id, 40, 41], np.int32),
    options=SamplingOptions(max_tokens=24, temperature=0.0),
    seed=0,
  )
  # What is written as the fifth token becomes a special one, and what then
  # follows it another.
  for at, name in enumerate(names, 4):
    ours, _ = _both(hf, "llama3")
    written = int(ours._sample([request])[0].tokens[at])
    head = arrays["lm_head.weight"]
    head[tokenizer.specials[name]] = 1.5 * head[written]
    files.save_file(arrays, path, metadata={"format": "pt"})
  ours, theirs = _both(hf, "llama3")
  ends = [[], [names[0]], [names[1], "never"], ["".join(names)]]
  asked = [
    (c, {"max_gen_toks": 24, "until": until})
    for c in contexts
    for until in ends
  ]
  # One by one, for in a batch theirs goes on until all have ended.
  expected = [
    theirs.generate_until(_instances("generate_until", one))[0] for one in asked
  ]
  found = ours.generate_until(_instances("generate_until", *asked))
  assert found == expected
  met = [found[i + k] != found[i] for i in range(0, 12, 4) for k in (1, 2, 3)]
  assert sum(met) >= 4, "hardly an end was met"


@pytest.mark.peers
def test_conversations_are_those_of_the_harness(both):
  ours, theirs = both
  open_answer = {"role": "assistant", "content": "The quick"}
  for turns, add in (
    (_CHAT[1:2], True),
    (_CHAT[:2], True),
    (_CHAT, True),
    ([*_CHAT, open_answer], False),
  ):
    found = ours.apply_chat_template(turns, add_generation_prompt=add)
    assert found == theirs.apply_chat_template(turns, add_generation_prompt=add)
    assert ours._spelled.encode_whole(found) == theirs.tok_encode(found)
