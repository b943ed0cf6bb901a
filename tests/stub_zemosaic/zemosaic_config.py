"""Settings of the stub, with the interface of ZeMosaic's: ``DEFAULT_CONFIG`` and ``load_config``. Written for these tests."""

DEFAULT_CONFIG = {
    "cache_retention": "run_end",
    "cleanup_temp_artifacts": True,
    "input_dir": "",
    "num_base_workers": 0,
    "output_dir": "",
    "resume": "auto",
    "sds_mode_default": False,
    "stacking_rejection_algorithm": "winsorized_sigma_clip",
    "stub_mode": "",
    "two_pass_coverage_renorm": True,
}


def load_config():
    """Return the stored settings, here the defaults."""
    return dict(DEFAULT_CONFIG)
