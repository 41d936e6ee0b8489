"""Is this a good place to run, and what does somebody who is to help need to know?"""
