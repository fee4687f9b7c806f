"""Templates over many contacts at once: Jinja2's syntax tree as Polars expressions, with Jinja2's own result.

One rule makes it exact: a null in a text or truth column says "not vouched for". Whatever is not certain to be
what Jinja2 gives (a null that is printed, an error, a rarity) is null, and rows with a null in any fragment are
rendered again by the reference path (compiled.py), which gives the fragments or the problem.
"""
