"""The verbs that a person types: arguments in, exit codes out."""
