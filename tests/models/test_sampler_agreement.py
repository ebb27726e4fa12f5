# SPDX-License-Identifier: Apache-2.0
"""Our sampler says what transformers' `generate` says.

On weights that we export, fp32: the same greedy tokens, the same probability of
each; and, on random logits, the same filters and penalties one by one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import draw, sampler, sharding, source_params, tensors
from ramjax.models.draw import Controls
from ramjax.models.hf_writer import HFWriter
from ramjax.models.sampling_options import SamplingOptions

pytestmark = [
  pytest.mark.peers,
  pytest.mark.filterwarnings("ignore"),  # Theirs, of imports.
]

_NUM_PROMPTS, _BATCH, _TOKENS = 200, 25, 24
_PAD = 0


@pytest.fixture(scope="module")
def peers():
  """torch and transformers."""
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  torch.set_num_threads(1)
  return torch, transformers


@pytest.fixture(scope="module")
def prompts():
  """200 prompts of 1 to 60 random ids."""
  rng = np.random.default_rng(0)
  return [
    rng.integers(1, 64, rng.integers(1, 61)).astype(np.int32)
    for _ in range(_NUM_PROMPTS)
  ]


@pytest.fixture(scope="module", params=["3", "qwen2"])
def models(request, peers, source_of, tmp_path_factory):
  """Theirs, loaded from what we export, and our parameters and config."""
  torch, transformers = peers
  source = source_of(request.param)
  folder = tmp_path_factory.mktemp("exported")
  tensors.copy(source, HFWriter(folder, source.config, source.specs))
  theirs = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation="eager"
  ).eval()
  # Answers end at the most tokens, whatever the ids.
  theirs.generation_config.eos_token_id = None
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  return theirs, source_params.load_params(source, mesh), source.config


def _generate(torch, model, prompts, **settings):
  """Their tokens [n, _TOKENS] and log-probabilities, in left-padded batches."""
  tokens, logps = [], []
  for at in range(0, len(prompts), _BATCH):
    batch = prompts[at : at + _BATCH]
    width = max(map(len, batch))
    ids = np.full((len(batch), width), _PAD, np.int64)
    mask = np.zeros_like(ids)
    for i, prompt in enumerate(batch):
      ids[i, width - len(prompt) :] = prompt
      mask[i, width - len(prompt) :] = 1
    made = model.generate(
      torch.tensor(ids),
      attention_mask=torch.tensor(mask),
      max_new_tokens=_TOKENS,
      do_sample=False,
      pad_token_id=_PAD,
      output_logits=True,
      return_dict_in_generate=True,
      **settings,
    )
    new = made.sequences[:, width:]
    steps = torch.stack(made.logits, 1).log_softmax(-1)
    tokens.append(new.numpy())
    logps.append(steps.gather(-1, new[..., None])[..., 0].numpy())
  return np.concatenate(tokens), np.concatenate(logps)


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_tokens_and_their_probabilities_agree(
  peers, models, prompts, penalty
):
  theirs, params, config = models
  if penalty != 1:
    # Their penalty counts the padding as seen, so no padding: one length.
    prompts = [np.resize(prompt, 20) for prompt in prompts[:50]]
  tokens, logps = _generate(
    peers[0], theirs, prompts, repetition_penalty=penalty
  )
  options = SamplingOptions(
    temperature=0.0, max_tokens=_TOKENS, repetition_penalty=penalty
  )
  ours = sampler.sample(
    params,
    config,
    [sampler.Request(prompt, options) for prompt in prompts],
    num_slots=32,
  )
  np.testing.assert_array_equal([one.tokens for one in ours], tokens)
  np.testing.assert_allclose(
    [one.logps for one in ours], logps, rtol=0, atol=1e-4
  )
  # Answers depend on their prompts.
  assert len(np.unique(tokens, axis=0)) > 40


_NONE = dict(
  temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0
)


def _changed(transformers, options, bias):
  """Their processors and warpers, in the order in which `generate` has them."""
  from transformers import GenerationConfig

  fields = {name: value for name, value in options.items() if value}
  if bias:
    fields["sequence_bias"] = [[[token], value] for token, value in bias]
  model = transformers.LlamaForCausalLM(
    transformers.LlamaConfig(
      vocab_size=300,
      hidden_size=8,
      intermediate_size=8,
      num_hidden_layers=1,
      num_attention_heads=1,
    )
  )
  config = GenerationConfig(do_sample=True, **{"top_k": 0, **fields})
  config._eos_token_tensor = None
  return model._get_logits_processor(config, input_ids_seq_length=12)


@pytest.mark.parametrize(
  ("options", "bias"),
  [
    (dict(temperature=0.6), ()),
    (dict(top_k=7), ()),
    (dict(top_p=0.8), ()),
    (dict(min_p=0.05), ()),
    (dict(repetition_penalty=1.4), ()),
    (dict(repetition_penalty=0.7), ()),
    (dict(), ((5, 3.0), (9, -4.5))),
    (dict(repetition_penalty=1.4), ((5, 3.0), (9, -4.5), (11, 2.0))),
    (dict(temperature=0.7, top_k=40, top_p=0.9), ()),
    (dict(temperature=1.5, top_p=0.7, min_p=0.02), ()),
    (
      dict(
        temperature=0.9,
        top_k=60,
        top_p=0.95,
        min_p=0.01,
        repetition_penalty=1.2,
      ),
      ((3, 1.0), (200, -2.0)),
    ),
  ],
)
def test_what_is_drawn_from_agrees(peers, options, bias):
  torch, transformers = peers
  rows, vocab, draws = 20, 300, 400
  rng = np.random.default_rng(1)
  logits = rng.normal(0, 2.5, (rows, vocab)).astype(np.float32)
  history = rng.integers(0, vocab, (rows, 12))
  processors = _changed(transformers, options, bias)
  theirs = processors(torch.tensor(history), torch.tensor(logits))
  expected = torch.log_softmax(theirs, -1).numpy()

  seen = np.zeros((rows, vocab), bool)
  np.put_along_axis(seen, history, True, axis=1)
  added = np.zeros((rows, vocab), np.float32)
  for token, value in bias:
    added[:, token] = value
  uniforms = np.tile((np.arange(draws) + 0.5) / draws, rows)
  controls = Controls(
    **{
      name: jnp.full(
        rows * draws, value, jnp.int32 if name == "top_k" else jnp.float32
      )
      for name, value in {**_NONE, **options}.items()
    }
  )
  drawn = jax.jit(draw.draw)(
    logits.repeat(draws, 0),
    controls,
    uniforms.astype(np.float32),
    seen=seen.repeat(draws, 0),
    bias=added.repeat(draws, 0),
  )
  tokens = np.asarray(drawn.tokens).reshape(rows, draws)
  ours = np.asarray(drawn.drawn_logps).reshape(rows, draws)
  np.testing.assert_allclose(
    ours, np.take_along_axis(expected, tokens, 1), atol=1e-4
  )
  # Whatever they would draw half the time we would, too.
  for row in range(rows):
    likely = np.flatnonzero(expected[row] > np.log(2 / draws))
    assert set(likely) <= set(tokens[row])
