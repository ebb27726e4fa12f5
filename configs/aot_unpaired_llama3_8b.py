# SPDX-License-Identifier: Apache-2.0
"""AOT, the unpaired variant (Melnyk et al., arXiv 2406.05882), Llama 3 8B.

    ramjax train --config=configs/aot_unpaired_llama3_8b.py \
        --workdir=runs/aot_unpaired \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

No number of the paper was recovered: all of them are assumed, as in
`sizes.llama3_8b`. Sorting is over a whole batch, whatever its microbatches.
not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(
    base.preference(aot_unpaired=dict(weight=1.0, beta=0.1))
  )
