"""What a run is: the configuration."""
