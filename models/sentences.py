"""English sentences for runs on real text: varied lengths, paraphrases and unrelated pairs."""

from __future__ import annotations

PAIRS: tuple[tuple[str, str], ...] = (
    ("Where is the station?", "How do I get to the railway station?"),
    ("The meeting was moved to Thursday.", "We will meet on Thursday instead."),
    ("She plays the violin beautifully.", "Her violin playing is wonderful."),
    ("Turn off the lights before you leave.", "Please switch the lamps off when you go out."),
    (
        "The bridge is closed because of the storm, so traffic is sent through the old town.",
        "Because of bad weather the bridge is shut; cars have to drive through the historic centre.",
    ),
    ("How can I reset my password?", "I forgot my password and cannot log in any more."),
    (
        "The company's profit fell by a fifth in the last quarter.",
        "Earnings dropped twenty percent over the past three months.",
    ),
    (
        "Bake the bread for forty minutes at two hundred degrees, then cool it on a rack before slicing it.",
        "The loaf needs forty minutes in an oven at 200 degrees; wait until it is cold before cutting it.",
    ),
    ("A compiler turns a program into machine instructions.", "Programs are translated to machine code by a compiler."),
    ("It rains.", "Water is falling from the sky."),
    (
        "The patient should take one tablet after each meal for ten days.",
        "One pill is to be swallowed after every meal, over a period of ten days.",
    ),
    ("Our flight to Lisbon was delayed by three hours.", "We left for Lisbon three hours late."),
    ("The cat sleeps on the sofa.", "Interest rates are expected to rise again next year."),
    ("He repaired the bicycle himself.", "The museum opens at nine in the morning."),
    ("Children learn a second language more easily than adults do.", "This printer is out of paper."),
    ("The recipe calls for two eggs and a cup of flour.", "Their satellite reached its orbit early on Sunday."),
)
"""Pairs of English sentences: twelve paraphrases, then four pairs that have nothing to do with each other."""


def sentences() -> list[str]:
    """All sentences of PAIRS, pair after pair."""
    return [sentence for pair in PAIRS for sentence in pair]
