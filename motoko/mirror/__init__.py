"""The mirror: a copy of each study's runs and jobs that is made for questions."""
