# SPDX-License-Identifier: Apache-2.0
"""Command line: train, tokenizer, report, bench."""
