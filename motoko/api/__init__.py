"""What orchestrators use: workflows, task managers, runs and selections that can be awaited."""
