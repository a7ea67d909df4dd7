"""/api/v1/: JSON for operators' own tools: plumbing, and the resources of `routing`; `calls.api.v1` has those of calls.

A resource is a `ResourceSerializer` (serializing), a `Filters` class (filtering) and a view (viewing). What a model
checks when the admin saves it is checked here too. Errors are problem documents (problems).
"""
