# SPDX-License-Identifier: Apache-2.0
"""IPO (Azar et al., arXiv 2310.12036), Llama 3 8B.

    ramjax train --config=configs/ipo_llama3_8b.py --workdir=runs/ipo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

The paper tuned no language model. Means per token are what its authors ran, as
they told TRL's maintainers. Beta 0.1 is assumed, in the range that SimPO's
comparison (arXiv 2405.14734) tried. The rest is assumed: as in
`sizes.llama3_8b`. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  return sizes.llama3_8b(
    base.preference(ipo=dict(weight=1.0, beta=0.1, logp_reduction="mean"))
  )
