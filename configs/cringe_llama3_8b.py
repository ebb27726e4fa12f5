# SPDX-License-Identifier: Apache-2.0
"""Cringe (Adolphs et al., arXiv 2211.05826), Llama 3 8B.

    ramjax train --config=configs/cringe_llama3_8b.py --workdir=runs/cringe \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. Of the
authors' code (ParlAI, for a 3B dialogue model): alpha 1, one candidate with a
gradient, no contrast of good answers, 100 updates of warm-up, 16 answers a
batch, gradients clipped at 10. Assumed: 1e-6 for its 5e-5, the mean over an
answer's tokens (there over the batch's), schedule, lengths and one epoch of
10,000 pairs. not yet run
"""

from ramjax.configs import answer_methods, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(answer_methods.cringe())
  config.optim.learning_rate = 1e-6
  config.optim.warmup_steps = 100
  config.optim.clip_norm = 10.0
  config.run.total_steps = 1250
  config.data.batch_size = 16
  config.data.num_microbatches = 2
  return config
