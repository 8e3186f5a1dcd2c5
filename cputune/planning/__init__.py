"""What is wanted of some domains -> the tasks that it takes."""
