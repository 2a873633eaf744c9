"""Inputs of the language-model studies: the parent, and text split by document and tokenised."""
