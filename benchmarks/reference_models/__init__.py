"""The recognizers of the published table, built in Paddle from their specification, with seeded random weights.

For timing and for tests of the conversion: they have the shape of the official models and read nothing. Run
``python -m benchmarks.reference_models NAME -o DIR``; tests use `benchmarks.reference_models.export`.
"""
