"""The composition root: settings and clients are read and built here, at the first event, and nowhere else.

A module for each kind of function, so that a cold start imports what the function works with, and nothing else.
"""
