# SPDX-License-Identifier: Apache-2.0
"""Llama 3.1 8B, full fine-tuning on chat rows, one pod slice.

    ramjax train --config=configs/sft_llama3_1_8b.py --workdir=DIR \
        --config.data.sources.main.path=rows.jsonl \
        --config.tokenizer.path=tokenizer.json

Starts from random weights: nothing reads released ones yet. 65,536 tokens an
update; meant for 8 chips of 96 GiB. not yet run
"""

from ramjax.configs import base


def get_config():
  """8B shape, bf16 compute, rows of 4,096 tokens."""
  config = base.sft()
  config.model.preset = "llama3_1_8b"
  config.model.dtype = "bfloat16"
  config.model.remat = "full"
  config.tokenizer.path = "tokenizer.json"
  config.data.sources.main = base.source("rows.jsonl", eval_rows=500)
  config.data.template = "llama3_1"
  config.data.max_length = 4096
  config.data.batch_size = 16
  config.optim.learning_rate = 5e-6
  config.optim.schedule = "linear"
  config.optim.warmup_steps = 60
  config.optim.final_share = 0.0
  config.optim.weight_decay = 0.0
  config.run.total_steps = 2000
  return config
