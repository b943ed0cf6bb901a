"""Recognise the known fallbacks in the texts of events and logs.

A text is searched for each pattern in turn. The first match gives the name of the fallback: the captured group if the
pattern has one, else the fixed name. `NOT_TAKEN` matches statements that no fallback was taken; these do not count as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.language.message import Message, say


@dataclass(frozen=True, slots=True)
class Known:
    """A known fallback: its pattern, its name if the pattern captures none, and its meaning."""

    pattern: re.Pattern[str]
    name: str
    means: Message


def _known(pattern: str, means: Message, name: str = "") -> Known:
    return Known(re.compile(pattern, re.IGNORECASE), name, means)


SPEAKS = re.compile(r"f[ae]ll(?:s|ing|en)?[ _-]?back|salvag", re.IGNORECASE)
"""The words for a fallback. `KNOWN` has patterns for fallbacks that do not use them."""

MARKS = ("back", "salvag", "rerun all cpu", "runtime_wcs", "global_coadd_", "weights_shape_mismatch")
"""Every text on a fallback contains one of these in lower case; most texts of a log contain none, so this test is fast."""

NOT_TAKEN = (
    re.compile(r"(?:fallback|salvage)(?:_mode|_used)?\s*[=:]\s*(?:False|None|off|no|0)\b", re.IGNORECASE),
    re.compile(r"\b(?:no|without)\s+(?:any\s+)?(?:classic\s+)?fallback", re.IGNORECASE),
)
"""Statements that a fallback was not taken. They are cut from a text before the rest is searched."""

_GPU = say("The GPU could not be used; the CPU did the work.")
_COADD = say("The coadd onto the global grid fell back to another method.")
_SDS = say("SDS failed; another mode was used.")
_WCS = say("The WCS of the grid was unusable; a simpler WCS was used.")
_SALVAGE = say("The assembly failed and was tried again with relaxed rules.")

KNOWN: tuple[Known, ...] = (
    _known(r"\b(sds_failed_fallback_mosaic_first)\b", _SDS),
    _known(r"\b(sds_and_mosaic_first_failed_fallback_mastertiles)\b", _SDS),
    _known(r"\b(sds_warn_runtime_wcs_(?:failed|no_output_dir))\b", _SDS),
    _known(r"\b(global_coadd_error_failed_fallback)\b", _COADD),
    _known(r"\b(global_coadd_warn_helper_(?:fallback|unavailable))\b", _COADD),
    _known(r"\b(global_coadd_info_helper_cpu_resume(?:_discarded)?)\b", _GPU),
    _known(r"GPU failed.{1,5}rerun all CPU", _GPU, "coadd on the GPU rerun on the CPU"),
    _known(r"\b(center_anchor_fallback_central_only)\b", say("No anchor tile was found; the central tile was used.")),
    _known(r"\b(center_anchor_soft_fallback)\b", say("The anchor tile was chosen by softer rules.")),
    _known(
        r"\b(calcgrid_warn_scale_fallback)\b",
        say("The pixel scale of the frames is unknown; a fixed scale was used."),
    ),
    _known(
        r"\b(stack_mem_fallback_memmap(?:_to_ram)?)\b",
        say("Memory was short: a stack was moved to a file, or back to memory."),
    ),
    _known(r"\b((?:stack_)?gpu_fallback_\w+)", _GPU),
    _known(r"\b(weight_fwhm_fallback_weight_one)\b", say("The FWHM of a frame is unknown; its weight is set to 1.")),
    _known(r"\b(cpu_kappa_fallback_done)\b", say("Clipping fell back to the CPU.")),
    _known(
        r"\b(run_info_preview_fallback_to_simple_asinh|run_success_preview_saved_fallback)\b",
        say("The preview was stretched in a simpler way."),
    ),
    _known(
        r"\b(stackimages_warn_combined_weights_shape_mismatch_final)\w*",
        say("Weights did not fit their frames and were not used."),
    ),
    _known(
        r"AlignGroup: Fallback FFT-only",
        say("A frame was aligned by a translation only."),
        "AlignGroup FFT-only",
    ),
    _known(r"\b(salvage_mode=True)\b", say("A tile was stacked from too few frames.")),
    _known(r"Tile \S+: salvage mode", say("A tile was stacked from too few frames."), "tile in salvage mode"),
    _known(r"falling back to safer WCS", _WCS, "grid: safer WCS"),
    _known(r"fallback (?:global )?WCS|fallback geometry", _WCS, "grid: fallback WCS"),
    _known(
        r"falling back to finite-pixel mask",
        say("A sky tile has no coverage map; its finite pixels were used as coverage."),
        "grid: finite-pixel mask",
    ),
    _known(r"salvage assembly", _SALVAGE, "grid: salvage assembly"),
    _known(
        r"fell back to neutral gains",
        say("The brightness of overlapping sky tiles could not be matched."),
        "grid: neutral gains",
    ),
    _known(r"GPU stack failed, falling back to CPU", _GPU, "grid: GPU stack on the CPU"),
    _known(r"falling back to raw read", say("A frame was read without the usual checks."), "grid: raw read"),
    _known(
        r"noise_fwhm fallback to variance-only",
        say("Frames have no FWHM; they are weighted by variance."),
        "grid: variance-only weights",
    ),
)


def named(text: str) -> tuple[str, Message] | None:
    """Return name and meaning of the known fallback in a text; ``None`` if no pattern matches."""
    for known in KNOWN:
        found = known.pattern.search(text)
        if found:
            return known.name or found[1].lower(), known.means
    return None


def marked(text: str) -> bool:
    """Return whether a text may mention a fallback. This is far faster than all patterns, and never wrongly false."""
    small = text.lower()
    return any(mark in small for mark in MARKS)
