"""Explain ZeMosaic's event keys in one sentence each. The key itself is not translated, so that it can be found in logs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from harness.analysis.fallback_patterns import named
from harness.language.catalogue import Language
from harness.language.message import Message, say
from harness.verdict import Verdict

_WORD = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")

KEYS: Mapping[str, Message] = MappingProxyType(
    {
        "mastertile_warn_cache_file_missing": say("A master tile did not find the cache of one of its frames."),
        "mastertile_warn_invalid_cached_data": say("A master tile found a cache that holds no usable image."),
        "mastertile_error_loading_cache": say("A master tile could not read the cache of one of its frames."),
        "mastertile_error_memory_loading_cache": say("There was not enough memory to read a cache."),
        "mastertile_error_no_valid_images_from_cache": say("A master tile found no usable cache at all."),
        "mastertile_error_no_images_after_alignment": say("No frame of a master tile could be aligned."),
        "mastertile_error_stacking_failed": say("A master tile's frames could not be stacked."),
        "mastertile_error_saving": say("A master tile could not be saved."),
        "run_warn_phase3_master_tile_creation_failed_thread": say("A master tile was not made."),
        "run_error_phase3_thread_exception": say("An exception ended the making of a master tile."),
        "run_error_phase3_no_master_tiles_created": say("No master tile was made."),
        "run_info_phase3_retry_submitted": say(
            "Frames that could not be aligned were submitted again, as a tile of their own."
        ),
        "run_warn_phase3_alignment_retry_abandoned": say("Frames that could not be aligned were dropped."),
        "run_info_phase3_started_from_cache": say("Phase 3 began."),
        "run_info_phase3_finished_from_cache": say("Phase 3 ended, with the number of master tiles made."),
        "run_warn_phase4_invalid_master_tile_for_grid": say(
            "A finished master tile was left out when the grid was computed."
        ),
        "run_warn_phase5_invalid_tile_skipped_for_assembly": say("A finished master tile was left out of the mosaic."),
        "run_success_mosaic_saved": say("The mosaic was saved."),
        "run_success_processing_completed": say("The run ended well."),
        "sds_on_mega_tile_pipeline": say("SDS puts all frames onto one grid."),
        "sds_off_classic_mastertile_pipeline": say("SDS is off: master tiles are made."),
        "sds_info_batches_built": say("SDS divided the frames into batches."),
        "sds_global_finalize_done": say("SDS finished its mosaic."),
        "phase5_sds_polish_start": say("SDS began to polish its mosaic."),
        "p4_global_coadd_started": say("The coadd of the frames onto the global grid began."),
        "p4_global_coadd_finished": say("The frames were coadded onto the global grid."),
    }
)


def keys_in(text: str, language: Language) -> tuple[tuple[str, str], ...]:
    """Return the known event keys in a text, each with its sentence, in the order of the text."""
    found = ((word, _meaning(word)) for word in dict.fromkeys(_WORD.findall(text)))
    return tuple((key, language.render(sentence)) for key, sentence in found if sentence is not None)


def keys_of(verdict: Verdict, language: Language) -> tuple[tuple[str, str], ...]:
    """Return the event keys that a verdict names in its sentence, its cause or its evidence."""
    sentences = " ".join(message.render() for message in (verdict.sentence, *verdict.cause))
    return keys_in(f"{sentences} {json.dumps(verdict.evidence, default=_part)}", language)


def _meaning(word: str) -> Message | None:
    """Return what a key means; the keys of fallbacks are defined with the fallback check."""
    if word in KEYS:
        return KEYS[word]
    fallback = named(word)
    return fallback[1] if fallback is not None else None


def _part(value: object) -> object:
    """Convert evidence of a type that JSON lacks."""
    return dict(value) if isinstance(value, Mapping) else str(value)
