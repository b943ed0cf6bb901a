"""Sessions with their reports, made once for all tests of reports."""

import pytest

from harness.language.system import CODES
from reports.html.build import FILES
from reports.material import Material
from reports.write import write_views
from tests.report_pages import Page
from tests.sample_session import sample_session


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Sessions with their reports: of the reference, of a real target that loses a tile, and of a hostile record."""
    root = tmp_path_factory.mktemp("sessions éà")
    kinds = {"reference": {}, "zemosaic": {"kind": "zemosaic"}, "hostile": {"kind": "zemosaic", "hostile": True}}
    kinds["unsealed"] = {"sealed": False}
    for name, options in kinds.items():
        (root / name).mkdir()
        sample_session(root / name, **options)
        write_views(Material(root / name))
    return {name: root / name for name in kinds}


@pytest.fixture(
    params=[(kind, code) for kind in ("reference", "zemosaic", "hostile", "unsealed") for code in CODES], ids=str
)
def page(request, folders):
    """Each page that was written."""
    kind, code = request.param
    return Page((folders[kind] / FILES[code]).read_text(encoding="utf-8"))
