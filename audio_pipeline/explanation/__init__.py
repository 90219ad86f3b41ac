"""Why a clip got its score: which seconds, which frequencies, which group of columns, and what it sounds like.

    clip ─► deciding window ─► stretches (cut out, score again) ─► bands (made like the rest, score again)
                          └──► groups (alone among typical columns) and nearest known clips

Everything is asked of the very encoder and classifier that judged: something counts as a reason when the score falls
without it. Here: the order, and `Explanation`. Not here: finding stretches (`stretches`), altering bands (`bands`),
comparing with known clips (`neighbours`), scoring altered sound (`rescoring`).
"""

from audio_pipeline.explanation.bands import Band
from audio_pipeline.explanation.explain import Explanation, explain
from audio_pipeline.explanation.neighbours import GroupScore, KnownClips, Neighbour
from audio_pipeline.explanation.stretches import Stretch

__all__ = ["Band", "Explanation", "GroupScore", "KnownClips", "Neighbour", "Stretch", "explain"]
