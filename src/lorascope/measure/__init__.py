"""What is seen: gradient and weight norms."""
