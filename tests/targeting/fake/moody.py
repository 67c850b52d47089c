"""A target with a compiler that does what its mood says."""

from typing import Literal

from regraft.pipelines.options import option
from regraft.targeting.compiler import Compiler

Mood = Literal["right", "wrong", "refuses", "crashes", "hangs", "eats", "prints", "quits", "ages", "forgets", "spoils"]


class Moody(Compiler):
    """A compiler for tests."""

    name = "moody"
    package = "numpy"
    versions = ">=2,<3"
    install = "pip install 'moody>=2'"
    pipeline = "strip-dropout,fold-constants,eliminate-dead-code"
    mood: Mood = option("right", "what it does")

    def check(self, model):
        return []
