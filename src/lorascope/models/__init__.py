"""What is trained: the base model, its modules, the adapters."""
