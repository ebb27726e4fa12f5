# SPDX-License-Identifier: Apache-2.0
from typing import Any

def DEFINE_config_file(name: str, default: Any = ..., **options: Any) -> Any: ...
