"""Will it work in this hall? Ten minutes of a plant's own healthy recordings, judged before anything is bought.

    recordings ─► pieces of 10 s ─► sensor check
                        └──► three times: a detector trained on two thirds, tried on the last third
                                 ├─ as it is:             false alarms
                                 └─ with faults mixed in: what would be found, and how loud it has to be

Here: the order, and the figures. Not here: cutting and reading (`pieces`), the faults (`trials`), words and page
(`wheeltapper.site_page`).
"""

from audio_pipeline.site_check.check import FalseAlarms, MachineCheck, SiteCheck, check_site
from audio_pipeline.site_check.pieces import SensorCount
from audio_pipeline.site_check.trials import LEVELS_DB, TRIALS, FaultResult

__all__ = [
    "LEVELS_DB",
    "TRIALS",
    "FalseAlarms",
    "FaultResult",
    "MachineCheck",
    "SensorCount",
    "SiteCheck",
    "check_site",
]
