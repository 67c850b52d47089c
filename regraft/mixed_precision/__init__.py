"""Lower precision: which values become float16 or bfloat16, and the casts between them and the others.

`groups` splits a model into what computes in one precision, `policy` says which groups must be lowered or kept, `cut`
settles the others by the fewest casts, and `convert` edits the graph. `observe` records the ranges of values on real
inputs, and `plan` is the file in which all of it can be read and changed.
"""
