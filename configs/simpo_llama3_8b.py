# SPDX-License-Identifier: Apache-2.0
"""SimPO (Meng et al., arXiv 2405.14734), Llama 3 8B.

    ramjax train --config=configs/simpo_llama3_8b.py --workdir=runs/simpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the authors' code for this model: beta 2.5, gamma / beta 0.55, 1e-6, 128
pairs a batch, 2,048 tokens, one epoch, cosine, warm-up 10 %. The answers are
to be this model's own samples. Assumed: 61,135 pairs. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(simpo=dict(weight=1.0, beta=2.5, gamma=1.375))
  )
  config.optim.learning_rate = 1e-6
  return config
