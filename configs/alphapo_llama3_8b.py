# SPDX-License-Identifier: Apache-2.0
"""AlphaPO (Gupta et al., arXiv 2501.03884), Llama 3 8B.

    ramjax train --config=configs/alphapo_llama3_8b.py --workdir=runs/alphapo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper's table for Mistral 7B Instruct: alpha 0.25, beta 2.5, gamma 0.1
(TRL's index of papers does not say whether that is gamma / beta), 7e-7. Its
numbers for Llama 3 were not recovered. Assumed: the rest, as for SimPO. not
yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(alphapo=dict(weight=1.0, beta=2.5, gamma=0.1, alpha=0.25))
  )
  config.optim.learning_rate = 7e-7
  return config
