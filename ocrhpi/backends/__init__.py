"""Engines behind one contract: `base.Backend` is the contract, `registry` knows who implements it."""
