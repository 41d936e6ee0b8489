"""What live views show of a workflow, and when it changes. They only draw it."""
