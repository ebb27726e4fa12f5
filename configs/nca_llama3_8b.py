# SPDX-License-Identifier: Apache-2.0
"""NCA on pairs, QLoRA (Chen et al., arXiv 2402.05369), Llama 3 8B.

    ramjax train --config=configs/nca_llama3_8b.py --workdir=runs/nca \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper and the authors' code: beta 0.01, 5e-6, 32 pairs a batch, one
epoch of UltraFeedback, cosine, warm-up 10 %, 1,024 tokens, adapters of rank 16
and alpha 16 on a base in 4 bits (there with dropout 0.05). They tuned Mistral
7B. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(nca=dict(weight=1.0, beta=0.01)))
  config.optim.learning_rate = 5e-6
  config.optim.warmup_steps = 191
  config.run.total_steps = 1910
  config.data.max_length = 1024
  config.data.batch_size = 32
  config.data.num_microbatches = 4
  config.lora.rank = 16
  config.lora.quantize_base = "nf4"
  return config
