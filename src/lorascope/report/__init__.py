"""What one looks at: plots, tables in the terminal, pages."""
