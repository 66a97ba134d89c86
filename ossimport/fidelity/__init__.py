"""What arrives of an object beside its bytes: what is kept, what is mapped, what is lost."""
