"""Test the explanations of event keys: the key is not translated, its sentence is, in the report and on job pages."""

import re
from types import MappingProxyType

import pytest

from harness.analysis import phase3
from harness.analysis.fallback_patterns import KNOWN
from harness.language.catalogue import Language
from harness.language.message import say
from harness.verdict import Outcome, Verdict
from reports.event_keys import KEYS, keys_in, keys_of
from reports.material import Material
from reports.write import write_views
from tests.sample_session import sample_session

ENGLISH = Language("en")


def test_keys_are_found_in_a_verdict():
    """A key in the sentence, the cause or anywhere in the evidence is explained, each once, in order."""
    verdict = Verdict(
        "warnings",
        Outcome.FAIL,
        say("{key}", key="run_success_mosaic_saved"),
        MappingProxyType({"counts": {"mastertile_warn_cache_file_missing": 5}, "list": ["run_success_mosaic_saved"]}),
        (say("run_info_phase3_retry_submitted"),),
    )
    assert [key for key, _ in keys_of(verdict, ENGLISH)] == [
        "run_success_mosaic_saved",
        "run_info_phase3_retry_submitted",
        "mastertile_warn_cache_file_missing",
    ]


@pytest.mark.parametrize("text", ["per_tile", "num_master_tiles 5", "a_key_that_nobody_knows", "", "MASTER_TILE"])
def test_other_words_are_left_alone(text):
    """An unknown key has no sentence."""
    assert keys_in(text, ENGLISH) == ()


def test_fallbacks_are_explained_by_the_check_that_knows_them():
    """The key of a fallback has the meaning defined with the fallback check."""
    known = next(k for k in KNOWN if k.pattern.search("center_anchor_soft_fallback"))
    assert keys_in("center_anchor_soft_fallback", ENGLISH) == (("center_anchor_soft_fallback", known.means.text),)
    assert not [key for key in KEYS if any(k.pattern.search(key) for k in KNOWN)]


def test_every_key_that_judges_has_a_sentence():
    """Every key that checks use is explained."""
    names = [v for k, v in vars(phase3).items() if k.isupper() for v in (v if isinstance(v, tuple) else (v,))]
    keys = [name for name in names if isinstance(name, str) and re.fullmatch(r"(run|mastertile)_[a-z0-9_]+", name)]
    assert keys
    assert [key for key in keys if key not in KEYS] == []


def test_keys_stand_beside_their_sentences(tmp_path):
    """In the report and on job pages the key is shown as code, followed by its sentence in the page's language."""
    sample_session(tmp_path, "zemosaic")
    write_views(Material(tmp_path))
    key = "mastertile_warn_cache_file_missing"
    for name, language in (("report.html", "en"), ("report.fr.html", "fr")):
        ((found, sentence),) = keys_in(key, Language(language))
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert f'<dt><code lang="en">{found}</code></dt><dd>{sentence.replace(chr(39), "&#39;")}</dd>' in page
    for name in ("summary.md", "summary.fr.md"):
        assert re.search(rf"^- `{key}`\s?: ", (tmp_path / name).read_text(encoding="utf-8"), re.MULTILINE)
