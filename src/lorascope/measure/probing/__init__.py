"""A probe: what every weight's gradient says about it before any training."""
