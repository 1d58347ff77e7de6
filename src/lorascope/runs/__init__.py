"""One experiment: its ten steps and its folder."""
