# SPDX-License-Identifier: Apache-2.0
"""Experiments as data: one file per experiment, complete and locked."""
