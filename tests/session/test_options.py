"""Options: command line before environment before ini file before default."""

from pathlib import Path

import pytest

from harness.language.catalogue import translator
from harness.language.message import sentences_of
from harness.session.options import OPTIONS, OptionError, resolve_language, resolve_options


def resolve(cli=None, env=None, ini=None):
    """Resolve options from three dictionaries."""
    return resolve_options((cli or {}).get, (ini or {}).get, env or {})


def test_defaults():
    """By default the reference is validated with two workers."""
    settings = resolve()
    assert (settings.target, settings.workers, settings.profile, settings.quick) == ("reference", 2, "fast", False)


def test_the_order_of_sources():
    """The command line outranks the environment, which outranks the ini file, which outranks the default."""
    ini, env, cli = {"phase3_target": "ini"}, {"PHASE3_TARGET": "env"}, {"phase3_target": "cli"}
    assert resolve(ini=ini).target == "ini"
    assert resolve(ini=ini, env=env).target == "env"
    assert resolve(ini=ini, env=env, cli=cli).target == "cli"


@pytest.mark.parametrize("name", ["options.md", "options.fr.md"])
def test_the_page_of_options_names_every_option(name):
    """The page of options, in each language, lists every option."""
    page = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `--phase3-")]
    assert [option.cli for option in OPTIONS if not any(f"`{option.cli}`" in line for line in table)] == []


def test_every_option_has_its_three_names():
    """Command line, environment and ini file name an option by one rule, so that users can guess the names."""
    for option in OPTIONS:
        assert option.cli == f"--phase3-{option.name}"
        assert option.env == f"PHASE3_{option.name.upper()}"
        assert option.ini == f"phase3_{option.name}"


def test_what_decides_on_the_runs_can_be_said_again():
    """The options that decide on the runs, given again as printed, resolve to the same; empty ones are left out."""
    asked = {
        "phase3_target": "zemosaic:x@abc",
        "phase3_seconds": "90.5",
        "phase3_budget": "90s,1.5GiB",
        "phase3_quick": "1",
    }
    told = resolve(cli=asked).deciding()
    assert told == {
        "target": "zemosaic:x@abc",
        "profile": "fast",
        "workers": "2",
        "seconds": "90.5",
        "budget": "90s,1.5GiB",
        "quick": "true",
    }
    assert resolve(cli={f"phase3_{name}": value for name, value in told.items()}) == resolve(cli=asked)


def test_a_long_time_is_told_as_digits():
    """Seconds are written without an exponent, which the option would refuse."""
    assert resolve(cli={"phase3_seconds": "1234567"}).deciding()["seconds"] == "1234567"


def test_own_settings_are_run_as_they_are():
    """With a settings file the fast profile is refused, because it would override the user's settings; the default applies."""
    assert resolve(cli={"phase3_config": "c.json"}).profile == "default"
    with pytest.raises(OptionError, match="expected --phase3-profile=default with --phase3-config"):
        resolve(cli={"phase3_config": "c.json", "phase3_profile": "fast"})


@pytest.mark.parametrize("text", ["1", "true", "Yes", "on"])
def test_a_flag_from_the_environment(text):
    """A flag accepts the usual words for true and false."""
    assert resolve(env={"PHASE3_QUICK": text}).quick


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile", "slow"),
        ("lang", "de"),
        ("workers", "0"),
        ("workers", "two"),
        ("seconds", "-1"),
        ("seconds", "inf"),
        ("quick", "maybe"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name, value):
    """The error names the option and its value."""
    with pytest.raises(OptionError, match=f"{name} to be .*found '{value}'"):
        resolve(cli={f"phase3_{name}": value})


@pytest.mark.parametrize(("asked", "language"), [("fr", "fr"), ("", "en"), ("de", "en")])
def test_the_language_is_known_before_the_rest(asked, language):
    """An error in another option is written in the requested language, if that exists."""
    assert resolve_language({}.get, {"phase3_lang": asked}.get, {}) == language


def test_what_is_refused_is_said_in_the_language():
    """The error keeps sentence and value apart for translation, the budget's too."""
    for options in ({"phase3_budget": "much"}, {"phase3_workers": "much"}, {"phase3_lang": "much"}):
        with pytest.raises(OptionError) as caught:
            resolve(cli=options)
        (line,) = sentences_of(caught.value, translator("fr"))
        assert line.startswith("attendu\u00a0: pour --phase3-")
        assert line.endswith("trouvé\u00a0: 'much'")
