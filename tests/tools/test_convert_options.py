# SPDX-License-Identifier: Apache-2.0
"""Options that commands share mean the same everywhere."""

import argparse

import pytest

from ramjax.tools import convert_options


def _parse(add, *argv):
  parser = argparse.ArgumentParser()
  add(parser)
  return parser.parse_args(argv)


@pytest.mark.parametrize(
  "text,expected",
  [
    ("5GB", 5 * 10**9),
    ("500MB", 5 * 10**8),
    ("0.5GB", 5 * 10**8),
    ("0.000001MB", 1),
  ],
)
def test_sizes(text, expected):
  args = _parse(convert_options.add_shard_size, f"--shard-size={text}")
  assert args.shard_size == expected


@pytest.mark.parametrize(
  "text",
  [
    *("", "5", "5GiB", "5gb", "-5GB", "1e3MB", "GB", "\u0665GB", ".5GB"),
    *("0MB", "0.0GB", "0.0000001MB", "9" * 400 + "GB"),
  ],
)
def test_what_is_no_size_is_refused(text, capsys):
  with pytest.raises(SystemExit) as end:
    _parse(convert_options.add_shard_size, f"--shard-size={text}")
  assert end.value.code == 2
  assert "is no size: give a number and MB or GB" in capsys.readouterr().err


def test_defaults_change_nothing():
  assert _parse(convert_options.add_dtype).dtype == "keep"
  assert _parse(convert_options.add_shard_size).shard_size == 50 * 10**9
  assert not _parse(convert_options.add_allow_nonfinite).allow_nonfinite
  args = _parse(convert_options.add_checkpoint)
  assert args.step is None and args.average is False


def test_cast_to_keep_is_the_source_itself(source_of):
  source = source_of("3")
  assert convert_options.cast(source, "keep") is source
  cast = convert_options.cast(source, "float16")
  assert {spec.dtype for spec in cast.specs.values()} == {"float16"}
  assert str(cast.rows("model.norm.weight", 0, 3).dtype) == "float16"
