"""Find, identify and start targets: the programs under validation."""
