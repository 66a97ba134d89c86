"""What the sources have in common that read objects over HTTP."""
