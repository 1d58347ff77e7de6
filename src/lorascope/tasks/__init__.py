"""What is learnt: the tasks and their data."""
