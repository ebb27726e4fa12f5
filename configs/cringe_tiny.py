# SPDX-License-Identifier: Apache-2.0
"""Cringe (Adolphs et al., arXiv 2211.05826), tiny.

    ramjax train --config=configs/cringe_tiny.py --workdir=runs/cringe

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. 20
updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import answer_methods, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(answer_methods.cringe())
