"""Balanced excitation and inhibition: theory, certified solvers, learning, spiking neurons, attractor networks."""
