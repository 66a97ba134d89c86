"""How listings are walked, and cut into lanes: one module for each thing that stores can do."""
