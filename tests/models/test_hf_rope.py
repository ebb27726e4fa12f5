# SPDX-License-Identifier: Apache-2.0
"""RoPE fields: both generations mean the same, and nothing else is read."""

import dataclasses
import pathlib

import pytest

from ramjax.models import hf_rope
from ramjax.models.config import RopeScaling

_PATH = pathlib.Path("theirs/config.json")
_LLAMA_3 = {
  "factor": 32.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 8192,
}
_SCALED = RopeScaling("llama3", 32.0)


@pytest.mark.parametrize(
  "raw,expected",
  [
    ({}, (10_000.0, None)),
    ({"rope_theta": 500_000}, (5e5, None)),
    ({"rope_theta": None, "rope_scaling": None}, (1e4, None)),
    ({"rope_parameters": {"rope_theta": 5e5}}, (5e5, None)),
    (
      {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
      (5e5, None),
    ),
    (
      {"rope_scaling": {"type": "linear", "factor": 4}},
      (1e4, RopeScaling("linear", 4.0)),
    ),
    (
      {
        "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2.0}
      },
      (1e4, RopeScaling("linear", 2.0)),
    ),
    (
      {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **_LLAMA_3}},
      (5e5, _SCALED),
    ),
    (
      {
        "rope_parameters": {
          "rope_type": "llama3",
          "rope_theta": 5e5,
          **_LLAMA_3,
        }
      },
      (5e5, _SCALED),
    ),
    # Both, alike: what a release that writes both for older ones would do.
    (
      {
        "rope_theta": 5e5,
        "rope_scaling": {"rope_type": "default", "rope_theta": 5e5},
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
      },
      (5e5, None),
    ),
  ],
)
def test_every_spelling(raw, expected):
  assert hf_rope.read(raw, _PATH) == expected


@pytest.mark.parametrize(
  "raw,match",
  [
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "type 'yarn'"),
    ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "type 'dynamic'"),
    ({"rope_parameters": {"rope_type": "longrope"}}, "type 'longrope'"),
    ({"rope_scaling": {"rope_type": None}}, "type 'None'"),
    ({"rope_scaling": {"rope_type": {"a": 1}}}, "is not supported"),
    ({"rope_scaling": {"type": "linear", "rope_type": "llama3"}}, "disagree"),
    ({"rope_scaling": {"factor": 4.0}}, r"\['factor'\] are not known"),
    (
      {"rope_scaling": {"type": "linear", "factor": 4.0, "beta_fast": 32}},
      "beta_fast",
    ),
    ({"rope_scaling": {"type": "linear"}}, "factor=None .*missing"),
    ({"rope_scaling": {"type": "linear", "factor": "4"}}, "factor='4'"),
    ({"rope_scaling": {"type": "linear", "factor": True}}, "factor=True"),
    ({"rope_scaling": {"type": "linear", "factor": 0.5}}, r"factor=0\.5"),
    (
      {
        "rope_scaling": {
          "type": "llama3",
          **_LLAMA_3,
          "original_max_position_embeddings": 8192.0,
        }
      },
      "original_max_position_embeddings=8192.0",
    ),
    (
      {"rope_scaling": {"type": "llama3", **_LLAMA_3, "low_freq_factor": 0.0}},
      r"low_freq_factor=0\.0",
    ),
    (
      {
        "rope_scaling": {
          "type": "llama3",
          **_LLAMA_3,
          "original_max_position_embeddings": 0,
        }
      },
      "original_max_positions=0",
    ),
    ({"rope_scaling": "linear"}, "must be an object"),
    ({"rope_theta": "10000"}, "rope_theta='10000'"),
    ({"rope_theta": 0}, r"rope_theta=0\.0 must be at least 1"),
    ({"rope_theta": -1.0}, r"rope_theta=-1\.0 must be at least 1"),
    ({"rope_theta": 10**400}, "rope_theta=1000.* must be a finite number"),
    (
      {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}},
      r"rope_theta is 10000\.0 and, in its RoPE parameters, 500000\.0",
    ),
    (
      {
        "rope_scaling": {"type": "linear", "factor": 2.0},
        "rope_parameters": {"rope_theta": 1e4},
      },
      "both rope_parameters and another rope_scaling",
    ),
  ],
)
def test_anything_else_is_refused_with_the_file(raw, match):
  with pytest.raises(ValueError, match=match) as caught:
    hf_rope.read(raw, _PATH)
  assert str(_PATH) in str(caught.value)
  assert len(str(caught.value)) < 400


def test_reading_leaves_the_fields_as_they_are():
  raw = {"rope_scaling": {"type": "linear", "factor": 4.0}}
  hf_rope.read(raw, _PATH)
  assert raw == {"rope_scaling": {"type": "linear", "factor": 4.0}}


@pytest.mark.parametrize(
  "scaling",
  [
    None,
    RopeScaling("linear", 4.0),
    RopeScaling("llama3", 8.0, 1.5, 3.0, 4096),
  ],
)
def test_what_is_written_reads_back(config, scaling):
  config = dataclasses.replace(config, rope_theta=5e5, rope_scaling=scaling)
  written = hf_rope.write(config)
  assert set(written) == {"rope_theta", "rope_scaling"}
  assert hf_rope.read(written, _PATH) == (5e5, scaling)
