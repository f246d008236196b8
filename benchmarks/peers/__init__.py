"""One application for each system, and how to start it; ``catalogue.py`` lists them."""
