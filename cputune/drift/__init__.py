"""Where something else is in force than should be, and who has likely done that."""
