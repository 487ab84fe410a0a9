"""The paper's "Technical Validation" of a store, and what the paper's own could not see.

`checks` names and numbers every check, `run` goes through a store one map at a time, `report`
puts the findings together.
"""
