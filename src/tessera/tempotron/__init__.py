"""The tempotron: a neuron that decides by whether its potential crosses a threshold within a pattern of spikes.

References: R. Guetig and H. Sompolinsky, The tempotron, Nature Neuroscience 9, 420 (2006), doi:10.1038/nn1643.
R. Rubin, R. Monasson and H. Sompolinsky, Theory of spike timing-based neural classifiers, Physical Review Letters 105,
218102 (2010), doi:10.1103/PhysRevLett.105.218102.
"""
