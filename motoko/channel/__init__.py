"""How other hosts reach the workflow: mutual TLS by the workflow's certificate, and a greeting."""
