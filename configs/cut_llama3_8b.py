# SPDX-License-Identifier: Apache-2.0
"""CUT, LoRA (Xu et al., arXiv 2312.14591), Llama 3 8B.

    ramjax train --config=configs/cut_llama3_8b.py --workdir=runs/cut \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=judged.jsonl

A row: {"prompt": ..., "completion": ..., "judgement": ...}; the judgement is
null where the answer is fine. Of the authors' code for Llama 2 13B Chat: alpha
1, threshold 1.1, adapters of rank 16 on the MLP (there with dropout 0.05),
4e-4, cosine, 100 updates of warm-up, 8 answers a batch, 2,048 tokens, one
epoch of 1,317 judgements. It also keeps only a quarter of the approved
answers. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.cut(cut=dict(weight=1.0, alpha=1.0, threshold=1.1))
  )
  config.data.sources.main = base.source("judged.jsonl", eval_rows=100)
  config.optim.learning_rate = 4e-4
  config.optim.warmup_steps = 100
  config.run.total_steps = 165
  config.data.batch_size = 8
  config.data.num_microbatches = 1
  config.lora.rank = 16
  config.lora.targets = ("mlp/.*",)
  return config
