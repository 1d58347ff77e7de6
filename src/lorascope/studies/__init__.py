"""Many experiments with one question: grids of tasks, arms and seeds, run in parallel, ending in verdicts."""
