"""Importing torch without its compilers' part: a network runs without it, whoever needs it has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILERS = "torch._dynamo", "torch._inductor", "torch._prims", "torch._refs", "sympy"

BEGIN = """
import sys
from sentryfuse_core.torch_import import import_torch
import_torch()
import torch
"""
RUN = """
from sentryfuse_core.config import Config
from sentryfuse_core.clock import ManualClock
from sentryfuse_core.pipeline import Pipeline
pipeline = Pipeline.build(Config(), clock=ManualClock())
pipeline.warm_up_first()
print(pipeline.backend.name, *sys.modules)
"""


def printed(*lines: str) -> str:
    words = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_torch_stays_without_its_compilers_part_when_a_network_is_loaded_and_run() -> None:
    ran, *loaded = printed(BEGIN, RUN).split()
    assert ran
    assert "torch._meta_registrations" in loaded  # what stands for it
    assert not set(COMPILERS) & set(loaded)


@pytest.mark.parametrize(
    "use",
    [
        "torch.compile(torch.nn.Linear(2, 3), backend='aot_eager')(torch.ones(1, 2))",
        "torch.export.export(torch.nn.Linear(2, 3), (torch.ones(1, 2),))",
        "import torch._prims",
        "from torch._refs import linalg",
        "from torch._meta_registrations import meta_mm",
        "torch._meta_registrations.meta_mm",
    ],
)
def test_compilers_part_is_there_when_it_is_used(use: str) -> None:
    name = "torch._meta_registrations"
    shown = f"print(sys.modules['{name}'].__file__, torch._prims.__spec__.loader.path)"
    paths = printed(BEGIN, use, "import torch._prims", shown).split()
    assert [Path(path).name for path in paths] == ["_meta_registrations.py", "__init__.py"]


def test_nothing_is_left_out_when_torch_is_there_already() -> None:
    shown = "print(sys.modules['torch._meta_registrations'].__name__, 'torch._prims' in sys.modules)"
    assert printed("import torch", BEGIN, shown) == "torch._meta_registrations True"
