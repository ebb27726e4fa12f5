# SPDX-License-Identifier: Apache-2.0
"""The command line of a config, for any program."""

import pytest
from absl import flags

from ramjax.trainers import command_line


def _define(values):
  flags.DEFINE_integer("rows", 3, "How many.", 0, flag_values=values)


def _parse(*argv):
  return command_line.parse(
    argv,
    program="ramjax look",
    example="ramjax look --config=x.py",
    define=_define,
  )


def test_a_shipped_config_is_found_by_name_and_overridden():
  config, values = _parse("--config=sft_quickstart", "--config.seed=7")
  assert config.seed == 7 and config.algorithm == "sft"
  assert values.rows == 3
  assert config.is_locked


def test_the_programs_own_flags_are_read():
  _, values = _parse("--rows=5", "--config=sft_quickstart")
  assert values.rows == 5


@pytest.mark.parametrize(
  "argv,message",
  [
    ([], "--config is missing: name a config file, as in\n  ramjax look"),
    (["--config=nowhere.py"], "'nowhere.py' does not exist here"),
    (["--config=sft_quickstart", "--rows=-1"], "rows"),
    (["--config=sft_quickstart", "--rows=many"], "rows"),
    (["--config=sft_quickstart", "--workdir=x"], "workdir"),
    (["--config=sft_quickstart", "x"], "unexpected argument 'x'"),
    (["--config=sft_quickstart", "--config.sed=1"], "sed"),
  ],
)
def test_a_mistake_is_named(argv, message):
  with pytest.raises(command_line.UsageError) as error:
    _parse(*argv)
  assert message in str(error.value)


@pytest.mark.parametrize("flag", ["-h", "--help", "--helpfull"])
def test_a_wish_for_help_is_taken_out(flag):
  assert command_line.split_help(["a", flag]) == (["a"], True)


def test_no_wish_for_help():
  assert command_line.split_help(["--config=help"]) == (
    ["--config=help"],
    False,
  )
