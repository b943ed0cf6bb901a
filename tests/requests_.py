"""Make small valid requests for tests, with changes by keyword."""

from harness.record.request import DatasetFacts, FrameFacts, Hold, Request, TargetFacts

WCS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 10.0,
    "CRVAL2": 41.0,
    "CRPIX1": 50.5,
    "CRPIX2": 40.5,
    "CD1_1": -0.001,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 0.001,
}


def a_request(**changes):
    """Return a request for four frames in two groups that share frames, with the given changes."""
    frames = tuple(FrameFacts(f"f{n}.fits", f"{n:064x}", (80, 100), WCS, n // 2) for n in range(4))
    values = {
        "case": "chain",
        "role": "subject",
        "target": TargetFacts("reference", "reference", "", "python", {"version": "1"}),
        "dataset": DatasetFacts("small", "synthetic", "d" * 64, frames),
        "plan": (("f0.fits", "f1.fits", "f2.fits", "f3.fits"), ("f2.fits", "f3.fits")),
        "retention": "per_tile",
        "workers": 2,
        "schedule": (Hold(1, 0, 5.0),),
        "config": {"stack_kappa_low": 3.0},
        "faults": ({"what": "unlink"},),
    }
    return Request(**(values | changes))
