"""Requests: what survives the file, and what is refused."""

import json

import pytest

from harness.record.request import FORMAT, Request
from tests.requests_ import a_request


def test_round_trip(tmp_path):
    """A request read back equals the one written, with accents and spaces in the path."""
    path = tmp_path / "données d'été" / "request.json"
    path.parent.mkdir()
    request = a_request()
    request.write(path)
    assert Request.from_json(json.loads(path.read_text(encoding="utf-8"))) == request


def test_no_plan_survives():
    """A request that leaves the grouping to the target keeps its absent plan."""
    request = a_request(plan=None, schedule=())
    assert Request.from_json(request.to_json()) == request


def test_a_newer_format_is_refused():
    """A request of another format names both formats."""
    data = a_request().to_json() | {"format": "phase3-request/9"}
    with pytest.raises(ValueError, match=f"{FORMAT}.*phase3-request/9"):
        Request.from_json(data)


@pytest.mark.parametrize("name", ["../f.fits", "/etc/f.fits", "a\\b.fits", "", "..", "a\0b"])
def test_a_frame_name_that_leaves_its_folder_is_refused(name):
    """Frame names come from files: none may be a path."""
    data = a_request().to_json()
    data["plan"] = [[name]]
    with pytest.raises(ValueError, match="expected a plain file name"):
        Request.from_json(data)


@pytest.mark.parametrize(("field", "value"), [("retention", "never"), ("mode", "gpu"), ("profile", "slow")])
def test_a_value_outside_the_protocol_is_refused(field, value):
    """The error names the choices and what was found."""
    data = a_request().to_json() | {field: value}
    with pytest.raises(ValueError, match=rf"\$\.{field}: expected one of .*, found '{value}'"):
        Request.from_json(data)
