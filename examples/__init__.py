"""Features to copy: one folder a function, as in `functions`. They import `shared` alone."""
