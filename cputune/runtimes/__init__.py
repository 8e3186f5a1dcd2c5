"""Who knows which domain: one small module a runtime, imported when it is asked."""
