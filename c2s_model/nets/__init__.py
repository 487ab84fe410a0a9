"""The paper's 3D transformers: a UNETR for each target, or one with several heads.

`variants` says which networks there are and needs no torch; `unetr` builds them; `published` reads
the checkpoints that the authors released; `network_file` keeps a network in one safe file.
"""
