"""Values, rules and errors: pure, without any I/O."""
