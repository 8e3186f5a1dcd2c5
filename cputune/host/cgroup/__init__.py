"""The cpu hierarchy: where it is, its files on v1 and v2, and the order in which the kernel takes writes."""
