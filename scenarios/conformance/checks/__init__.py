"""What is shown about the server, one module per subject; each raises `AssertionError` to fail."""
