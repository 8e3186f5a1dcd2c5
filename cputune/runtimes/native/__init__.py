"""What a runtime itself remembers of a domain's limits, and how it is made to remember others."""
