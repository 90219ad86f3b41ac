"""The page of `wheeltapper check-site`: "will it work in my hall?", for somebody who has never heard of an AUC.

Here: words, plots, HTML in one file without anything fetched. Not here: the figures (`audio_pipeline.site_check`).
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from audio_pipeline.site_check import FalseAlarms, FaultResult, MachineCheck, SiteCheck

_GOOD, _FAIR = 0.8, 0.3  # share of faults found that counts as heard, and as heard now and then
_CLEARLY_DB, _BARELY_DB = -10.0, 0.0


def answer(check: SiteCheck) -> str:
    """Say in a sentence or two whether it will work, by the rule that the page states."""
    faults = [fault for machine in check.machines for fault in machine.faults]
    clear = sum(fault.found_from_db is not None and fault.found_from_db <= _CLEARLY_DB for fault in faults)
    loud = sum(fault.found_from_db is not None and fault.found_from_db <= _BARELY_DB for fault in faults)
    if any(count.fatal and count.recordings * 2 > count.of for count in check.sensor):
        return "Not with this microphone: most of the recordings have a defect that makes any verdict worthless."
    if clear * 2 >= len(faults):
        word = "Yes, for most kinds of fault"
    elif loud * 2 >= len(faults):
        word = "Partly: faults have to be nearly as loud as the machine with its hall"
    elif loud:
        word = "Only for some kinds of fault, and only when they are as loud as the machine with its hall"
    else:
        word = "Hardly, with this encoder and these recordings: put the microphone nearer, or record more"
    return (
        f"{word}. Of {len(faults)} faults tried, {clear} were found a tenth as loud as the recording "
        f"({_CLEARLY_DB:g} dB) and {loud} as loud as it ({_BARELY_DB:g} dB). {alarms_sentence(check.false_alarms)}"
    )


def alarms_sentence(alarms: FalseAlarms) -> str:
    """Say what false alarms to expect."""
    low, high = alarms.per_week_interval
    sentence = (
        f"{alarms.alarms} of {alarms.tried} healthy pieces raised an alarm: "
        f"{_count(alarms.per_week)} false alarms a week, {_count(low)} to {_count(high)} with 95 % certainty."
    )
    if alarms.reachable >= 1:
        sentence += (
            " None of these recordings would be trained on: three in ten are held back, by their names, to measure on. "
            "Record in more and shorter files."
        )
    elif alarms.used > alarms.asked:
        sentence += (
            f" One in {1 / alarms.asked:.0f} was asked for, which takes more recordings: the detector that is trained "
            "on these, three in ten of them held back to measure it on, can promise one in "
            f"{1 / alarms.reachable:.0f}; those tried here, made of two thirds, one in {1 / alarms.used:.0f}."
        )
    return sentence


def fault_sentence(fault: FaultResult, levels_db: Sequence[float]) -> str:
    """Say from which level on a fault is found."""
    best = max(fault.found) / fault.tried
    if fault.found_from_db is None:
        loudest = f"{levels_db[-1]:g} dB"
        if best >= _FAIR:
            return f"{fault.words}: now and then, {max(fault.found)} of {fault.tried} at best."
        return f"{fault.words}: not found, not even at {loudest} (as loud as the recording)."
    return f"{fault.words}: found from {fault.found_from_db:g} dB on ({_loudness(fault.found_from_db)})."


def render(check: SiteCheck) -> str:
    """Write the page."""
    machines = "".join(_machine(machine, check.levels_db) for machine in check.machines)
    skipped = "".join(f"<li>{_e(path)}: {_e(reason)}</li>" for path, reason in check.skipped[:20])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Will it work in my hall?</title><style>{_STYLE}</style></head><body><main>
<p class=where>{_e(check.folder)} · {check.recordings} recordings · {check.minutes:.1f} minutes ·
encoder {_e(check.encoder)}</p>
<h1>Will it work in my hall?</h1>
<p class=answer>{_e(answer(check))}</p>
<h2>Microphone</h2>{_sensor(check)}
<h2>False alarms</h2>
<p>{_e(alarms_sentence(check.false_alarms))} This assumes {check.clips_per_hour:g} clips an hour of each
machine, day and night ({len(check.machines)} machine{"s" if len(check.machines) > 1 else ""}), and that healthy
recordings to come are like these: another shift, another product or another season may not be.</p>
<img alt="How far the healthy pieces stay below the threshold" src="{_image(_margins(check.scores))}">
<h2>Which faults would be heard</h2>
<p>Into pieces of your own recordings that raised no alarm, sounds of faults were mixed, made by synthetic machines,
each at {len(check.levels_db)} levels. The level says how loud the fault is beside the whole recording, machine and hall
together: 0 dB is as loud, −10 dB a tenth of the power, −20 dB a hundredth. The detector had never heard the piece. Real
faults differ from synthetic ones, and faults that take sound away (a missing stroke) cannot be mixed in: read this as a
rough guide to loudness, not as a promise.</p>
{machines}
<h2>How this was found</h2>
<p>Recordings were cut into pieces of 10 s. Three times, a detector was trained on two thirds of the healthy pieces of
all machines and tried on the other third. A fault counts as found from a level on when at least 80 % of the pieces
with it raised an alarm, at that level and at every louder one. The answer on top is “yes” when half of the faults are
found from −10 dB on, “partly” when half are found from 0 dB on.</p>
{f"<h2>Left out</h2><ul>{skipped}</ul>" if skipped else ""}
</main></body></html>
"""


def _machine(machine: MachineCheck, levels_db: Sequence[float]) -> str:
    lines = "".join(f"<li>{_e(_capital(fault_sentence(fault, levels_db)))}</li>" for fault in machine.faults)
    few = (
        f"<p class=warn>Only {machine.pieces} pieces of 10 s: ten minutes (60) say much more.</p>"
        if machine.pieces < 40
        else ""
    )
    own = ""
    if machine.own_faults is not None:
        found, tried = machine.own_faults
        own = f"<p>Of your own recordings in an abnormal folder, {found} of {tried} pieces raised an alarm.</p>"
    alarms = machine.false_alarms
    return f"""<section><h3>{_e(machine.machine or "Machine without a name")}</h3>
<p>{machine.pieces} pieces of {machine.recordings} recording{"s" if machine.recordings != 1 else ""};
{alarms.alarms} of {alarms.tried} healthy pieces raised an alarm.</p>{few}{own}
<img alt="Share of pieces in which each fault was found, by level" src="{_image(_ladder(machine, levels_db))}">
<ul>{lines}</ul></section>"""


def _sensor(check: SiteCheck) -> str:
    if not check.sensor:
        return "<p>No flaw of microphone or cable was found in any recording.</p>"
    return (
        "<ul>"
        + "".join(
            f"<li><b>{_e(count.code.replace('_', ' '))}</b> in {count.recordings} of {count.of} recordings"
            f"{' (verdicts are worthless there)' if count.fatal else ''}. {_e(count.first)}: {_e(count.example)}</li>"
            for count in check.sensor
        )
        + "</ul>"
    )


def _ladder(machine: MachineCheck, levels_db: Sequence[float]) -> Figure:
    shares = np.array([[count / fault.tried for count in fault.found] for fault in machine.faults])
    figure = Figure(figsize=(8.2, 0.42 * len(machine.faults) + 1.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(shares, aspect="auto", cmap="YlGnBu", vmin=0, vmax=1)
    axes.set_xticks(range(len(levels_db)), [f"{level:g}".replace("-", "−") for level in levels_db])
    axes.set_yticks(range(len(machine.faults)), [fault.words for fault in machine.faults])
    axes.set_xlabel("level of the fault beside the recording (dB)")
    axes.set_title("Share of pieces in which the fault was found", fontsize=10)
    for row, fault in enumerate(machine.faults):
        for column, count in enumerate(fault.found):
            share = count / fault.tried
            axes.text(
                column,
                row,
                f"{share:.0%}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share > 0.5 else "#333",
            )
    return figure


def _margins(margins: Sequence[float]) -> Figure:
    figure = Figure(figsize=(8.2, 2.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = np.asarray(margins)
    edges = np.linspace(min(float(values.min()), -1.0), max(float(values.max()), 1.0) + 0.05, 40)
    axes.hist(values[values <= 0], edges.tolist(), color="#0072B2", label="quiet")
    if (values > 0).any():
        axes.hist(values[values > 0], edges.tolist(), color="#D55E00", hatch="///", label="false alarm")
    axes.axvline(0, color="black", lw=1.2, ls="--", label="threshold")
    axes.set(xlabel="score of a healthy piece, less the threshold", ylabel="pieces")
    axes.legend(fontsize=8)
    return figure


def _image(figure: Figure) -> str:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _loudness(level_db: float) -> str:
    share = 10 ** (level_db / 10)
    if level_db > -1:
        return "as loud as the recording"
    return f"1/{1 / share:.0f} of the recording's power"


def _count(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _e(text: str) -> str:
    return html.escape(text)


_STYLE = """
body{margin:0;background:#f6f5f2;color:#222;font:16px/1.5 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:2rem;margin:.2em 0}h2{margin-top:1.8em;border-bottom:1px solid #ccc}
.where{color:#666;margin:0}.answer{font-size:1.2rem;background:#fff;border-left:6px solid #0072b2;padding:14px 18px}
.warn{background:#fff3d6;border-left:6px solid #e69f00;padding:8px 14px}
section{background:#fff;padding:4px 18px 12px;margin:16px 0;border-radius:6px}img{max-width:100%;height:auto}
"""
