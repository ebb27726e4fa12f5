# SPDX-License-Identifier: Apache-2.0
"""Fine-tune a Hugging Face model on rows of your own, whole or by adapters.

    ramjax train --config=configs/sft_from_hf.py --workdir=runs/tuned \
        --config.init.from_hf=Llama-3.2-1B-Instruct \
        --config.data.sources.main.path=rows.jsonl --config.data.template=llama3_1
    ramjax convert to-hf runs/tuned tuned

Adapters: add `--config.lora.rank=16 --config.optim.learning_rate=2e-4`, and
`--config.lora.quantize_base=nf4` for a base in 4 bits. On a GPU or a TPU add
`--config.model.dtype=bfloat16`. not yet run
"""

from ramjax.configs import base


def get_config():
  """One source named `main`, one epoch or so of a few thousand rows."""
  config = base.sft()
  config.init.from_hf = "model"
  config.data.sources.main = base.source("rows.jsonl", eval_rows=50)
  config.data.max_length = 1024
  config.data.batch_size = 16
  config.model.remat = "full"
  config.optim.learning_rate = 1e-5
  config.optim.weight_decay = 0.0
  config.optim.warmup_steps = 20
  config.run.total_steps = 300
  config.evals.every_steps = 100
  config.checkpoint.every_steps = 100
  return config
