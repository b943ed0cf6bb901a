"""The HTML report: a view model, drawings and templates."""
