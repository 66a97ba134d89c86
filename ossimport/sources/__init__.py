"""Where objects come from: one module for each `srcType`."""
