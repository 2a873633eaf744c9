"""One model compressed for one target by one command: a plan, an overlay of parameters, and the child's card."""

from tessera.common import code

#: The root of the repository, where the Snakefile and params.yaml are.
REPOSITORY = code.ROOT.parent
