"""Carrying out all tasks of a plan, or none."""
