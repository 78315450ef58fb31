"""What users write tasks with: Task, Context, Window, and how their values travel; knows nothing of stores and workers."""
