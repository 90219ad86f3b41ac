"""Synthetic machine sounds with physically meaningful faults.

    draw_machine(kind, rng) → Machine                   an individual: speeds, blades, resonances, room, microphone
    render(machine, seconds, rng, fault) → Rendering    one recording of it
    mix(signal, factory_noise(seconds, rng), snr_db)    in a hall
    write_dataset(…)                                    a folder in MIMII's layout with truth.csv

Everything follows from the generators given. Not here: sounds without a physical model, for pretraining
(`audio_pipeline.pretraining.machines`).
"""

from audio_pipeline.synth.dataset import SynthRecipe, write_dataset
from audio_pipeline.synth.kinds import KINDS, draw_machine
from audio_pipeline.synth.machine import Fault, Machine, Rendering, render
from audio_pipeline.synth.noise import factory_noise, mix

__all__ = [
    "KINDS",
    "Fault",
    "Machine",
    "Rendering",
    "SynthRecipe",
    "draw_machine",
    "factory_noise",
    "mix",
    "render",
    "write_dataset",
]
