"""What it means: views and statistics of what was measured."""
