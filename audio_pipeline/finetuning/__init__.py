"""Fitting the encoder to a plant's own machines (extra `train` only).

    reference's healthy clips, none held out ─► episodes with faults made on purpose ─► upper layers trained
    held-out healthy clips ─► as they are, and with other faults mixed in ─► old and new judged side by side
                                                            better? ─► artifacts/encoders/tuned-<sha256>

Here: the order, and the rule. Not here: reading weights back (`weights`), episodes and steps (`tuning`), the judging
(`audio_pipeline.comparison`), what happens to the reference afterwards (`serve.models.reembedding`).
"""

from audio_pipeline.finetuning.finetune import Confirmed, Finetuned, finetune
from audio_pipeline.finetuning.tuning import Tuning

__all__ = ["Confirmed", "Finetuned", "Tuning", "finetune"]
