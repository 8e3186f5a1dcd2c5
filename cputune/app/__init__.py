"""What the commands call: returns data; neither prints nor exits."""
