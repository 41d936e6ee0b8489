"""How do other hosts come here? Mutual TLS by one certificate of the workflow, and a greeting."""
