# SPDX-License-Identifier: Apache-2.0
"""A small Llama from scratch on rows of your own: where to start copying from.

    ramjax train --config=configs/sft_own_rows.py --workdir=runs/mine \
        --config.data.sources.main.path=rows.jsonl

The tokenizer is trained on the rows, so any language works; a few thousand
rows are enough to watch it learn. not yet run
"""

from ramjax.configs import base


def get_config():
  """One source named `main`; set its path."""
  config = base.sft()
  config.data.sources.main = base.source("rows.jsonl", eval_rows=50)
  config.data.max_length = 512
  config.tokenizer.train_vocab_size = 1024
  config.model.preset = "tiny"
  config.model.vocab_size = 1024
  config.model.remat = "dots"
  config.optim.name = "muon"
  config.optim.learning_rate = 0.01
  config.optim.warmup_steps = 20
  config.run.total_steps = 300
  config.evals.every_steps = 100
  config.checkpoint.every_steps = 100
  return config
