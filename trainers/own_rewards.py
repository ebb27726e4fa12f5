# SPDX-License-Identifier: Apache-2.0
"""Rewards that a user wrote in the config's own module.

    def brevity_reward(answers, *, most):
      return [float(len(a.response) <= most) for a in answers]

beside `get_config` makes `config.rewards.brevity = dict(weight=1.0, most=80)`
mean that function.
"""

import inspect
import sys
from collections.abc import Mapping

from ramjax.evals.answers import Reward

# What `ml_collections.config_flags` calls the file that --config names.
_CONFIG_MODULE = "config_config"
_SUFFIX = "_reward"


def loaded() -> Mapping[str, Reward]:
  """The reward functions of the config file that the command line named.

  Returns:
    Functions by the name that `config.rewards` gives them; none where no config
    file was loaded.
  """
  module = sys.modules.get(_CONFIG_MODULE)
  functions = {} if module is None else vars(module)
  return {
    name.removesuffix(_SUFFIX): value
    for name, value in functions.items()
    if name.endswith(_SUFFIX)
    and inspect.isfunction(value)
    # A built-in one that it imports stays what it is.
    and not value.__module__.startswith("ramjax.")
  }
